from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path, re_path, register_converter

from anomalies.api import anodot_v2, cloudlock_v2, events_v1, findings_v1, grantex_v1, operations
from anomalies.web import apis, audit_log, ids, notices, preferences, views
from anomalies.web.access_requests import flows, grants
from anomalies.web.access_requests import pages as requests
from anomalies.web.actors import agents, principals
from anomalies.web.decisions import bulk, deciding
from anomalies.web.detectors import detectors, rules, types
from anomalies.web.listing import export, saved_views
from anomalies.web.notifications import notifications
from anomalies.web.suppressions import suppressions

register_converter(ids.IdConverter, "id")

APIS = [events_v1.api, grantex_v1.api, anodot_v2.api, cloudlock_v2.api, findings_v1.api, operations.api]

urlpatterns = [
    path("", views.anomaly_list, name="anomaly_list"),
    re_path(r"^anomalies/export\.(?P<suffix>csv|json|ndjson|ocsf)$", export.export, name="export"),
    path("anomalies/new/", views.anomaly_news, name="anomaly_news"),
    path("anomalies/counts/", views.anomaly_tally, name="anomaly_tally"),
    path("anomalies/<slug:public_id>/", views.anomaly_detail, name="anomaly_detail"),
    path("anomalies/<slug:public_id>/events/", views.anomaly_events, name="anomaly_events"),
    path("anomalies/<slug:public_id>/recompute/", views.anomaly_recompute, name="anomaly_recompute"),
    path("anomalies/<slug:public_id>/acknowledge/", deciding.acknowledge, name="acknowledge"),
    path("anomalies/<slug:public_id>/resolve/", deciding.resolve, name="resolve"),
    path("anomalies/<slug:public_id>/reopen/", deciding.reopen, name="reopen"),
    path("anomalies/<slug:public_id>/snooze/", deciding.snooze, name="snooze"),
    path("anomalies/<slug:public_id>/assign/", deciding.assign, name="assign"),
    path("anomalies/<slug:public_id>/rename/", deciding.rename, name="rename"),
    path("anomalies/<slug:public_id>/bookmark/", deciding.bookmark, name="bookmark"),
    path("anomalies/<slug:public_id>/notes/", deciding.add_note, name="add_note"),
    path("reviews/<int:entry>/undo/", deciding.undo, name="undo"),
    path("bulk/", bulk.decide_many, name="decide_many"),
    path("bulk/<slug:public_id>/", bulk.bulk_page, name="bulk_page"),
    path("bulk/<slug:public_id>/carry-out/", bulk.carry_out, name="carry_out"),
    path("bulk/<slug:public_id>/undo/", bulk.undo_many, name="undo_many"),
    path("notices/seen/", notices.see_notices, name="see_notices"),
    path("filters/<slug:name>/", views.filter_options, name="filter_options"),
    path("access-requests/", requests.request_list, name="request_list"),
    path("access-requests/<id:public_id>/", requests.request_page, name="request_page"),
    path("counts/access-requests/", requests.request_tally, name="request_tally"),
    path("access-flows/", flows.flow_list, name="flow_list"),
    path("access-flows/<id:public_id>/", flows.flow_page, name="flow_page"),
    path("grants/<id:public_id>/revoke/", grants.revoke_grant, name="revoke_grant"),
    path("agents/", agents.agent_list, name="agent_list"),
    path("agents/<id:public_id>/", agents.agent_page, name="agent_page"),
    path("change/agents/<id:public_id>/", agents.change_agent, name="change_agent"),
    path("events/agents/<id:public_id>/", agents.agent_events, name="agent_events"),
    path("principals/", principals.principal_list, name="principal_list"),
    path("principals/<id:public_id>/", principals.principal_page, name="principal_page"),
    path("detectors/", detectors.detector_list, name="detector_list"),
    path("detectors/<slug:type_>/", detectors.detector_page, name="detector_page"),
    path("detectors/<slug:type_>/tries/<slug:public_id>/", detectors.backtest_page, name="backtest_page"),
    path("detectors/<slug:type_>/override/", detectors.override_page, name="override_new"),
    path("detectors/<slug:type_>/remove-override/<id:public_id>/", detectors.override_remove, name="override_remove"),
    path("detectors/<slug:type_>/overrides/<id:public_id>/", detectors.override_page, name="override_page"),
    path("rules/", rules.rule_list, name="rule_list"),
    path("rules/new/", rules.rule_page, name="rule_new"),
    path("rules/<id:public_id>/switch/", rules.rule_switch, name="rule_switch"),
    path("rules/<id:public_id>/delete/", rules.rule_delete, name="rule_delete"),
    path("rules/<id:public_id>/", rules.rule_page, name="rule_page"),
    path("audit-log/", audit_log.audit_log, name="audit_log"),
    path("audit-log/export/", audit_log.audit_log_csv, name="audit_log_csv"),
    path("suppressions/", suppressions.suppression_list, name="suppression_list"),
    path("suppressions/new/", suppressions.suppression_new, name="suppression_new"),
    path("suppressions/preview/", suppressions.suppression_preview, name="suppression_preview"),
    path("suppressions/<slug:public_id>/", suppressions.suppression_page, name="suppression_page"),
    path("suppressions/<slug:public_id>/end/", suppressions.suppression_end, name="suppression_end"),
    path(
        "suppressions/<slug:public_id>/bring-back/", suppressions.suppression_bring_back, name="suppression_bring_back"
    ),
    path("events/principals/<id:public_id>/", principals.principal_events, name="principal_events"),
    path("views/", saved_views.saved_view_list, name="saved_view_list"),
    path("views/new/", saved_views.saved_view_new, name="saved_view_new"),
    path("views/<slug:public_id>/", saved_views.saved_view_change, name="saved_view_change"),
    path("views/<slug:public_id>/delete/", saved_views.saved_view_delete, name="saved_view_delete"),
    path("notifications/", notifications.channel_list, name="channel_list"),
    path("notifications/new/", notifications.channel_kinds, name="channel_kinds"),
    path("notifications/new/<slug:name>/", notifications.channel_new, name="channel_new"),
    path("notifications/deliveries/<slug:public_id>/", notifications.delivery_page, name="delivery_page"),
    path("notifications/deliveries/<slug:public_id>/replay/", notifications.delivery_replay, name="delivery_replay"),
    path("notifications/<slug:public_id>/", notifications.channel_page, name="channel_page"),
    path("notifications/<slug:public_id>/test/", notifications.channel_test, name="channel_test"),
    path("notifications/<slug:public_id>/switch/", notifications.channel_switch, name="channel_switch"),
    path("notifications/<slug:public_id>/delete/", notifications.channel_delete, name="channel_delete"),
    path("types/", types.types, name="types"),
    path("apis/", apis.api_list, {"apis": APIS}, name="api_list"),
    path("preferences/", preferences.prefer, name="preferences"),
    path(
        "login/",
        LoginView.as_view(template_name="anomalies/login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("v1/", grantex_v1.urls),
    path("v1/", events_v1.urls),
    path("v1/", findings_v1.urls),
    re_path(r"^v1/(?P<path>[\s\S]+)", grantex_v1.unknown_path),
    path("api/v2/", anodot_v2.urls),
    re_path(r"^api/v2/anomalies/", anodot_v2.unknown_path),
    path("api/v2/", cloudlock_v2.urls),
    re_path(r"^api/v2/(?P<path>[\s\S]+)", cloudlock_v2.unknown_path),
    path("", operations.urls),
]
