"""The admin site: triage as Django users expect it."""

from django.contrib import admin

from anomalies.admin import access, anomaly, api_key, detector, event, record

__all__ = ["access", "anomaly", "api_key", "detector", "event", "record"]

admin.site.site_header = "Anomalies"
admin.site.site_title = "Anomalies admin"
admin.site.index_title = "Administration"
