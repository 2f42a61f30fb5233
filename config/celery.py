"""Entry point of the Celery worker and of beat."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("anomalies")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
