"""web/access: who may see a page, and what the others are told."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from anomalies.models import ReviewEntry
from tests import make

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/?severity=high"}
PAGES = [
    "/",
    "/types/",
    "/agents/",
    "/agents/ag_billing/",
    "/principals/",
    "/filters/type/",
    "/anomalies/{id}/",
    "/anomalies/{id}/events/",
]
FORMS = ["/anomalies/{id}/acknowledge/", "/anomalies/{id}/notes/", "/reviews/1/undo/"]


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_a_page_without_a_login_and_comes_back_to_it_after(path: str) -> None:
    path = path.format(id=make.anomaly().public_id)
    response = Client().get(path)
    assert response.status_code == 302
    assert response.headers["Location"] == f"/login/?next={path}"


@pytest.mark.parametrize("path", PAGES)
def test_without_the_permission_a_page_is_a_designed_403(as_zoe: Client, path: str) -> None:
    response = as_zoe.get(path.format(id=make.anomaly().public_id))
    assert response.status_code == 403
    assert "You have no access to this" in response.text
    assert "zoe" in response.text


def test_what_was_taken_away_or_given_counts_from_the_next_request_on(as_vic: Client, vic: User) -> None:
    assert as_vic.get("/").status_code == 200
    vic.groups.clear()
    assert as_vic.get("/").status_code == 403
    vic.user_permissions.add(Permission.objects.get(content_type__app_label="anomalies", codename="view_anomaly"))
    assert as_vic.get("/").status_code == 200


def test_a_session_of_another_backend_ends(vic: User) -> None:
    client = Client()
    client.force_login(vic, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("path", PAGES)
def test_a_viewer_sees_every_page(as_vic: Client, path: str) -> None:
    assert as_vic.get(path.format(id=make.anomaly().public_id)).status_code == 200


@pytest.mark.parametrize("path", FORMS)
def test_a_viewer_changes_nothing(as_vic: Client, path: str) -> None:
    anomaly = make.anomaly()
    assert as_vic.post(path.format(id=anomaly.public_id), {"note": "mine"}).status_code == 403
    anomaly.refresh_from_db()
    assert anomaly.status == "open"
    assert not ReviewEntry.objects.exists()


@pytest.mark.parametrize("path", ["/", "/anomalies/{id}/"])
def test_a_viewer_is_shown_no_buttons_that_decide(as_vic: Client, as_ana: Client, path: str) -> None:
    path = path.format(id=make.anomaly().public_id)
    assert "/acknowledge/" in as_ana.get(path).text
    seen = as_vic.get(path).text
    assert "/acknowledge/" not in seen
    assert "/notes/" not in seen


@pytest.mark.parametrize("path", FORMS)
def test_forms_take_no_get(as_ana: Client, path: str) -> None:
    assert as_ana.get(path.format(id=make.anomaly().public_id)).status_code == 405


def test_forms_need_the_csrf_token(as_ana: Client) -> None:
    anomaly = make.anomaly()
    as_ana.handler.enforce_csrf_checks = True
    response = as_ana.post(f"/anomalies/{anomaly.public_id}/acknowledge/")
    assert response.status_code == 403
    assert "nothing was changed" in response.text


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_expired_session_moves_the_whole_page_to_the_login(method: str) -> None:
    anomaly = make.anomaly()
    path = f"/anomalies/{anomaly.public_id}/" + ("acknowledge/" if method == "post" else "")
    response = getattr(Client(), method)(path, headers=HTMX)
    assert response.headers["HX-Redirect"] == "/login/?next=/%3Fseverity%3Dhigh" + ("&lost=1" * (method == "post"))
    assert response.text == ""


def test_polling_with_an_expired_session_says_so_and_moves_nothing() -> None:
    response = Client().get("/anomalies/new/", headers=HTMX)
    assert response.status_code == 200
    assert "HX-Redirect" not in response.headers
    assert "Your session has ended" in response.text
    assert "hx-trigger" not in response.text


def test_what_is_shown_is_kept_by_no_cache(as_ana: Client) -> None:
    response = as_ana.get("/")
    assert "no-store" in response.headers["Cache-Control"]
    assert "HX-Request" in response.headers["Vary"]


@pytest.mark.parametrize("path", ["/nowhere/", "/anomalies/anom_none/", "/filters/none/", "/anomalies/a%00b/"])
def test_an_unknown_address_is_a_designed_404(as_ana: Client, path: str) -> None:
    response = as_ana.get(path)
    assert response.status_code == 404
    assert "There is nothing at this address" in response.text


def test_an_error_is_a_designed_500(as_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("anomalies.web.views.Listing", broken)
    as_ana.raise_request_exception = False
    response = as_ana.get("/")
    assert response.status_code == 500
    assert "Something broke on our side" in response.text


def test_login_and_logout(as_zoe: Client) -> None:
    client = Client()
    assert (
        "That name and password do not fit together."
        in client.post("/login/", {"username": "zoe", "password": "no"}).text
    )
    response = client.post("/login/?next=/types/", {"username": "zoe", "password": "zoe-password", "next": "/types/"})
    assert response.headers["Location"] == "/types/"
    assert client.post("/logout/").headers["Location"] == "/login/"
    assert client.get("/types/").status_code == 302


def test_a_login_leads_to_no_other_host(as_zoe: Client) -> None:
    response = Client().post("/login/", {"username": "zoe", "password": "zoe-password", "next": "https://evil.test/"})
    assert response.headers["Location"] == "/"


def test_a_long_form_of_a_session_that_ended_is_kept_by_nobody(as_zoe: Client) -> None:
    client = Client()
    client.cookies["sessionid"] = "gone"
    client.post("/rules/new/", {"description": "x" * 100_001})
    assert "unsent_form" not in client.session
    client.post("/rules/new/", {"description": "x" * 1000})
    assert "unsent_form" in client.session
    nobody = Client()
    nobody.post("/rules/new/", {"description": "x"})
    assert "unsent_form" not in nobody.session
