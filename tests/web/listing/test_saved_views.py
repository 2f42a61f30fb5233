"""web/saved_views: views of the list under a name, each an address."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from anomalies.models import SavedView, Severity
from anomalies.services import saved_views
from tests import make

pytestmark = pytest.mark.django_db


def save(client: Client, name: str = "Worst", query: str = "severity=high&sort=type", **more: str) -> SavedView:
    response = client.post("/views/", {"name": name, "query": query, **more})
    assert response.status_code == 302, response.text
    return SavedView.objects.get(name=name)


def links(client: Client, url: str = "/") -> dict[str, tuple[str, bool, bool]]:
    return {view.label: (view.url, view.current, view.changed) for view in client.get(url).context["saved"]}


def test_what_is_shown_is_kept_and_shown_again(as_ana: Client) -> None:
    make.anomaly(severity=Severity.LOW)
    worst = make.anomaly(severity=Severity.HIGH)
    view = save(as_ana)
    url = f"/?severity=high&sort=type&view={view.public_id}"
    assert "Saved as “Worst”, for you alone" in as_ana.get(url).text
    assert links(as_ana) == {"Worst": (url, False, False)}
    assert links(as_ana, url) == {"Worst": (url, True, False)}
    assert [row.anomaly for row in as_ana.get(url).context["rows"]] == [worst]


def test_the_page_of_a_list_and_its_panel_are_no_part_of_a_view(as_ana: Client) -> None:
    assert save(as_ana, query="severity=high&type_search=x&open=&last=").query == "severity=high"


def test_a_view_that_was_left_says_so_and_is_saved_again(as_ana: Client) -> None:
    view = save(as_ana)
    left = f"/?severity=low&view={view.public_id}"
    assert links(as_ana, left)["Worst"][1:] == (True, True)
    page = as_ana.get(left).text
    assert "Save changes to “<bdi>Worst</bdi>”" in page
    assert f'<input type="hidden" name="view" id="view" form="filters" value="{view.public_id}">' in page
    answer = as_ana.post(f"/views/{view.public_id}/", {"query": "severity=low"})
    assert answer.headers["Location"] == left
    assert links(as_ana, left)["Worst"][1:] == (True, False)


def test_the_same_filters_in_another_order_are_no_change(as_ana: Client) -> None:
    view = save(as_ana, query="severity=high&severity=low&type=rate_spike")
    same = f"/?type=rate_spike&severity=low&severity=high&view={view.public_id}"
    assert links(as_ana, same)["Worst"][1:] == (True, False)


def test_others_see_what_is_shared_and_offer_no_change(as_ana: Client, as_vic: Client) -> None:
    own, ours = save(as_ana, "Own"), save(as_ana, "Ours", shared="1")
    assert list(links(as_vic)) == ["Ours"]
    page = as_vic.get(f"/?severity=low&view={ours.public_id}").text
    assert "Save changes" not in page
    assert "Share it with everybody" not in page
    assert "for you alone: sharing takes the role reviewer".casefold() in page.casefold()
    assert "is not there any more, or nobody shares it with you" in as_vic.get(f"/?view={own.public_id}").text
    assert as_vic.post(f"/views/{own.public_id}/", {"name": "x"}).status_code == 404
    assert as_vic.post(f"/views/{own.public_id}/delete/").status_code == 404
    refused = as_vic.post(f"/views/{ours.public_id}/delete/")
    assert refused.status_code == 409
    assert "“Ours” is ana&#x27;s: only they or an administrator change it." in refused.text
    assert "Rename" not in as_vic.get("/views/").text


def test_a_viewer_who_shares_is_told_and_what_was_typed_is_there_again(as_vic: Client) -> None:
    refused = as_vic.post("/views/", {"name": "Worst", "query": "severity=high", "shared": "1"})
    assert refused.status_code == 409
    assert "sharing a view takes the role reviewer" in refused.text
    assert 'name="name" value="Worst"' in refused.text
    assert 'name="query" value="severity=high"' in refused.text


def test_a_name_twice_is_refused_and_typed_again(as_ana: Client) -> None:
    save(as_ana)
    refused = as_ana.post("/views/", {"name": "Worst", "query": "severity=low"})
    assert refused.status_code == 409
    assert "you have a view “Worst” already" in refused.text
    assert 'href="/?severity=low"' in refused.text
    other = save(as_ana, "Other")
    again = as_ana.post(f"/views/{other.public_id}/", {"name": "Worst"})
    assert again.status_code == 409
    assert 'name="name" value="Worst" required maxlength="60" dir="auto" aria-label="Name of Other"' in again.text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "עברית قائمة", 'a"b&c'])
def test_names_are_text_of_any_direction(as_ana: Client, name: str) -> None:
    save(as_ana, name)
    for url in ("/", "/views/"):
        page = as_ana.get(url)
        assert "<script>alert" not in page.text
        assert f"<bdi>{escape(name)}</bdi>" in page.text


def test_a_view_of_a_filter_that_is_no_more_complains(as_ana: Client, ana: User) -> None:
    view = SavedView.objects.create(owner=ana, name="Old", query="colour=red&severity=huge")
    assert "Severity: there is no “huge”" in as_ana.get("/views/").text
    page = as_ana.get(links(as_ana)["Old"][0]).text
    assert "There is no filter “colour”." in page
    assert "Severity: there is no “huge”" in page
    refused = as_ana.post("/views/", {"name": "x", "query": view.query})
    assert refused.status_code == 409
    assert not SavedView.objects.filter(name="x").exists()


def test_a_view_is_renamed_shared_and_deleted(as_ana: Client) -> None:
    view = save(as_ana)
    as_ana.post(f"/views/{view.public_id}/", {"name": "Bad ones"})
    as_ana.post(f"/views/{view.public_id}/", {"shared": "yes"})
    assert SavedView.objects.values_list("name", "shared").get() == ("Bad ones", True)
    assert f"http://testserver/?severity=high&amp;sort=type&amp;view={view.public_id}" in as_ana.get("/views/").text
    as_ana.post(f"/views/{view.public_id}/delete/")
    assert not SavedView.objects.exists()
    assert "No saved views" in as_ana.get("/views/").text


def test_without_scripts_a_link_leads_to_the_form(as_ana: Client) -> None:
    page = as_ana.get("/views/new/?severity=high&older=anom_x").text
    assert 'name="query" value="severity=high"' in page


def test_the_list_names_who_shares_a_view_and_takes_no_more_queries_for_ten(
    as_ana: Client,
    as_vic: Client,
    vic: User,
    django_assert_num_queries: Callable[[int], AbstractContextManager[object]],
) -> None:
    save(as_vic, "Own")
    save(as_ana, "Ours", shared="1")
    save(as_ana, "Hers")
    assert list(links(as_vic)) == [str(view) for view in saved_views.seen_by(vic)] == ["Ours", "Own"]
    page = as_vic.get("/").text
    assert page.count('title="Shared by ana"><bdi>Ours</bdi>') == 1
    assert page.count("Shared by") == 1
    with CaptureQueriesContext(connection) as of_one:
        as_vic.get("/")
    queries = len(of_one)
    for number in range(9):
        save(as_ana, f"Ours {number}", shared="1")
    with django_assert_num_queries(queries):
        assert as_vic.get("/").text.count('title="Shared by ana"') == 10


def test_more_views_take_no_more_queries(
    as_ana: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    make.anomaly(integration="okta", countries=["DE"])
    query = "agent=ag_billing&integration=okta&country=DE&assignee=me&assignee=nobody&type=rate_spike"
    save(as_ana, "First", query)
    for number in range(10):
        save(as_ana, f"View {number}", f"{query}&q={number}")
    with django_assert_num_queries(9):
        page = as_ana.get("/views/").text
    assert page.count("Assignee: <bdi>Me, Nobody</bdi>") == 11


def test_what_a_view_names_and_nobody_has_any_more_is_said(as_ana: Client, ana: User) -> None:
    query = "agent=ag_gone&integration=okta&country=DE&assignee=bob"
    SavedView.objects.create(owner=ana, name="Old", query=query)
    page = as_ana.get("/views/").text
    for said in ("Agent: no anomaly has “ag_gone”", "Integration: no anomaly has “okta”", "Where: no anomaly has “DE”",
                 "Assignee: nobody who is called “bob” has one"):  # fmt: skip
        assert said in page
