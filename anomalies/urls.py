from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path, re_path, register_converter

from anomalies.api import cloudlock_v2, events_v1, grantex_v1
from anomalies.web import (
    agents,
    bulk,
    deciding,
    export,
    grants_revoke,
    ids,
    notices,
    preferences,
    principals,
    requests_pages,
    suppressions,
    views,
)

register_converter(ids.IdConverter, "id")

urlpatterns = [
    path("", views.anomaly_list, name="anomaly_list"),
    re_path(r"^anomalies/export\.(?P<suffix>csv|json|ndjson)$", export.export, name="export"),
    path("anomalies/new/", views.anomaly_news, name="anomaly_news"),
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
    path("access-requests/", requests_pages.request_list, name="request_list"),
    path("access-requests/<id:public_id>/", requests_pages.request_page, name="request_page"),
    path("grants/<id:public_id>/revoke/", grants_revoke.revoke_grant, name="revoke_grant"),
    path("agents/", agents.agent_list, name="agent_list"),
    path("agents/<id:public_id>/", agents.agent_page, name="agent_page"),
    path("change/agents/<id:public_id>/", agents.change_agent, name="change_agent"),
    path("events/agents/<id:public_id>/", agents.agent_events, name="agent_events"),
    path("principals/", principals.principal_list, name="principal_list"),
    path("principals/<id:public_id>/", principals.principal_page, name="principal_page"),
    path("suppressions/", suppressions.suppression_list, name="suppression_list"),
    path("suppressions/new/", suppressions.suppression_new, name="suppression_new"),
    path("suppressions/preview/", suppressions.suppression_preview, name="suppression_preview"),
    path("suppressions/<slug:public_id>/", suppressions.suppression_page, name="suppression_page"),
    path("suppressions/<slug:public_id>/end/", suppressions.suppression_end, name="suppression_end"),
    path(
        "suppressions/<slug:public_id>/bring-back/", suppressions.suppression_bring_back, name="suppression_bring_back"
    ),
    path("events/principals/<id:public_id>/", principals.principal_events, name="principal_events"),
    path("types/", views.types, name="types"),
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
    path("v1/<path:path>", grantex_v1.unknown_path),
    path("api/v2/", cloudlock_v2.urls),
    path("api/v2/<path:path>", cloudlock_v2.unknown_path),
]
