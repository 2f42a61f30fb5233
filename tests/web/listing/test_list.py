"""web/listing and the list page: what is shown, in which order, and how often the database is asked."""

import re
from datetime import timedelta
from itertools import chain

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.http import QueryDict
from django.test import Client

from anomalies.models import Anomaly, Severity, Suppression
from anomalies.web.facets import count_anomalies, said_count
from anomalies.web.listing.listing import COLUMNS, SORTS, Listing
from anomalies.web.listing.row import Row
from tests import make

pytestmark = pytest.mark.django_db
RESULTS = {"HX-Request": "true", "HX-Target": "results"}


def ids(response: object) -> list[str]:
    return [row.anomaly.public_id for row in response.context["rows"]]  # type: ignore[attr-defined]


def many(count: int) -> list[Anomaly]:
    """Anomalies of which every three share a detection time, newest last."""
    return [
        make.anomaly(detected_at=make.NOW + timedelta(minutes=i // 3), severity=1 + i % 3, principal=make.principal())
        for i in range(count)
    ]


def test_the_newest_detection_comes_first(as_ana: Client) -> None:
    old = make.anomaly(detected_at=make.NOW - timedelta(hours=1))
    new = make.anomaly(detected_at=make.NOW)
    assert ids(as_ana.get("/")) == [new.public_id, old.public_id]


def test_a_bookmark_is_seen_by_who_set_it_alone(as_ana: Client, as_vic: Client) -> None:
    anomaly, _ = make.anomaly(), make.anomaly()
    as_vic.post(f"/anomalies/{anomaly.public_id}/bookmark/", {"marked": "yes"})
    assert as_vic.get("/").text.count('<svg class="marked">') == 1
    assert '<svg class="marked">' not in as_ana.get("/").text


def test_a_row_says_all_that_the_contract_lists(as_ana: Client) -> None:
    anomaly = make.anomaly(
        resource="customers", integration="postgres-prod", agent=make.agent("ag_x"), principal=make.principal("user_7")
    )
    page = as_ana.get("/").text
    for heading in ("Severity", "Type", "What happened", "Agent/User", "Resource", "Integration", "Detected", "Status"):
        assert heading in page
    for value in ("High", "Rate spike", "ag_x", "user_7", "customers", "postgres-prod", "20 Nov 12:00", "Open"):
        assert value in page
    assert "<b>412</b> requests in 5 minutes, 38 expected" in page
    assert f'href="/anomalies/{anomaly.public_id}/"' in page
    assert "Recommendation" in page


def test_of_a_users_anomaly_the_user_comes_first_and_the_agent_after(as_ana: Client) -> None:
    user, agent = make.principal("user_7"), make.agent("ag_x")
    make.anomaly(kind="principal", entity="user_7", agent=agent, principal=user)
    page = as_ana.get("/").text
    assert '<a href="/principals/user_7/" title="user_7"><bdi>user_7</bdi></a> <span class="whom">via <a' in page
    make.anomaly(agent=agent, principal=user)
    page = as_ana.get("/").text
    assert '<a href="/agents/ag_x/" title="ag_x"><bdi>ag_x</bdi></a> <span class="whom">for <a' in page


def test_a_type_with_a_long_name_is_short_in_the_list_and_whole_in_the_filter(as_ana: Client) -> None:
    make.anomaly(type="approved_after_rejected")
    page = as_ana.get("/").text
    assert '<td class="type" title="Approved after being rejected in the past">After rejection</td>' in page
    assert "<bdi>Approved after being rejected in the past</bdi>" in page


@pytest.mark.parametrize(
    ("said", "observed", "shown"),
    [
        ("AR-13: post entries 842 on ledger-842 approved", 1, "AR-13: post entries 842 on ledger-842 approved"),
        ("AR-13: first request in 212 days", 212.7, "AR-13: first request in <b>212</b> days"),
    ],
)
def test_numbers_in_the_name_of_what_was_asked_for_are_no_figures(
    as_ana: Client, said: str, observed: float, shown: str
) -> None:
    make.anomaly(description=said, evidence={**make.EVIDENCE, "request_name": "AR-13", "observed": observed})
    assert f"data-row-link><span>{shown}</span></a>" in as_ana.get("/").text


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=12, seconds=59), "12 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=1), ""),
        (timedelta(seconds=-5), ""),
    ],
)
def test_within_a_day_it_says_how_long_ago_and_when_exactly(
    as_ana: Client, monkeypatch: pytest.MonkeyPatch, age: timedelta, said: str
) -> None:
    monkeypatch.setattr("anomalies.web.listing.row.now", lambda: make.NOW + age)
    make.anomaly()
    assert f'title="20 Nov 2026 12:00 UTC">{said or "20 Nov 12:00"}</time>' in as_ana.get("/").text


def test_a_row_says_who_has_it_and_until_when_it_sleeps(as_ana: Client, ana: User) -> None:
    make.anomaly(assignee=ana, snoozed_until=make.NOW + timedelta(days=3))
    page = as_ana.get("/").text
    assert 'Snoozed until <time datetime="2026-11-23T12:00:00+00:00"' in page
    assert "<bdi>ana</bdi></small>" in page


def test_a_row_says_where_logins_came_from_or_the_address(as_ana: Client) -> None:
    make.anomaly(countries=["DE", "MY"], ip="10.2.0.14")
    make.anomaly(ip="10.2.0.15")
    page = as_ana.get("/").text
    assert '<td class="where" title="DE, MY, 10.2.0.14">DE, MY</td>' in page
    assert '<td class="where" title="10.2.0.15">10.2.0.15</td>' in page


def test_what_is_withdrawn_is_marked_quietly_and_needs_no_review(as_ana: Client) -> None:
    withdrawn = make.anomaly(state="withdrawn", ended_at=make.NOW)
    everything = as_ana.get("/").text
    assert '<span class="state">Withdrawn</span>' in everything
    assert f'id="row-{withdrawn.public_id}" class="high aside"' in everything
    assert "0 open, 0 high" in everything
    assert f"row-{withdrawn.public_id}" not in as_ana.get("/?status=open").text


def test_a_withdrawn_one_that_was_decided_shows_the_decision(as_ana: Client) -> None:
    make.anomaly(state="withdrawn", ended_at=make.NOW, status="acknowledged", acknowledged_at=make.NOW)
    assert '<span class="state">Acknowledged</span>' in as_ana.get("/").text


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("user_301 for the first time; 1 new in 30 days", "user_301 for the first time; <b>1</b> new in 30 days"),
        ("success after 147 failures from 24.151.103.17", "success after <b>147</b> failures from 24.151.103.17"),
        ("62 % denied (31 of 50)", "<b>62 %</b> denied (31 of 50)"),
        ("1,204 requests", "<b>1,204</b> requests"),
        ("activity at 01:00", "activity at 01:00"),
    ],
)
def test_the_number_observed_stands_out(as_ana: Client, sentence: str, shown: str) -> None:
    make.anomaly(description=sentence)
    assert shown in as_ana.get("/").text


def test_markup_in_what_others_sent_is_text(as_ana: Client) -> None:
    evil = '<script>alert("1")</script>'
    anomaly = make.anomaly(
        description=f"9 by {evil}",
        agent=make.agent(f"ag_{evil}"),
        principal=make.principal(f"user_{evil}"),
        resource=evil,
        integration=evil,
        resource_type=evil,
        evidence={**make.EVIDENCE, "why": f"{evil} made 412"},
    )
    make.event(agent_id=f"ag_{evil}", time=make.NOW - timedelta(minutes=1), user_agent=evil, action=evil)
    for path in ("/", f"/anomalies/{anomaly.public_id}/", f"/anomalies/{anomaly.public_id}/events/"):
        page = as_ana.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_right_to_left_names_are_isolated(as_ana: Client) -> None:
    make.anomaly(agent=make.agent("وكيل"))
    assert "<bdi>وكيل</bdi>" in as_ana.get("/").text


def test_paging_shows_every_row_once_over_ties_in_both_directions(as_ana: Client) -> None:
    expected = [a.public_id for a in Anomaly.objects.filter(pk__in=[a.pk for a in many(127)]).newest_first()]
    pages, url = [], "/"
    while url:
        response = as_ana.get(url)
        pages.append(ids(response))
        url = response.context["older_url"]
    assert [len(page) for page in pages] == [50, 50, 27]
    assert list(chain.from_iterable(pages)) == expected
    back, url = [pages[-1]], response.context["newer_url"]
    while url:
        response = as_ana.get(url)
        back.insert(0, ids(response))
        url = response.context["newer_url"]
    assert back == pages


def shown_as(row: Row) -> dict[str, object]:
    """What the columns of a row show, so that it can be compared."""
    one = row.anomaly
    status = ["open", "snoozed", "acknowledged", "resolved", "suppressed", "withdrawn"]
    return {
        "severity": one.severity,
        "type": one.type,
        "what": one.title or one.description,
        "who": row.who,
        "resource": one.resource,
        "integration": one.integration,
        "where": one.countries,
        "detected": one.detected_at,
        "status": status.index(row.set_aside or one.status),
    }


def of_all_kinds(count: int) -> None:
    """Anomalies with ties and empty values in every column."""
    hidden = Suppression.objects.create(reason="Known", owner="ana", type="rate_spike")
    statuses: list[dict[str, object]] = [
        {},
        {"snoozed_until": make.NOW + timedelta(days=1)},
        {"status": "acknowledged", "acknowledged_at": make.NOW},
        {"status": "resolved", "resolved_at": make.NOW},
        {"suppression": hidden},
        {"state": "withdrawn", "ended_at": make.NOW},
    ]
    user = make.principal("user_5")
    whose: list[dict[str, object]] = [
        {},
        {"agent": make.agent("ag_x"), "entity": "ag_x"},
        {"kind": "principal", "entity": "user_5", "principal": user},
        {"principal": user},
    ]
    for i in range(count):
        make.anomaly(
            detected_at=make.NOW + timedelta(minutes=i // 3),
            severity=1 + i % 3,
            type=["rate_spike", "suspicious_login"][i % 2],
            title=["", "Nightly sync"][i % 5 == 0],
            description=f"{i % 4} requests",
            resource=["", "b", "a"][i % 3],
            integration=["", "okta"][i % 2],
            countries=[[], ["DE", "MY"], ["DE"]][i % 3],
            **statuses[i % 6],
            **whose[i % 4],
        )


@pytest.mark.parametrize("sort", sorted(SORTS))
def test_paging_is_exact_in_every_order_with_ties_and_empty_values(
    as_ana: Client, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalies.web.listing.listing.PAGE_SIZE", 7)
    of_all_kinds(24)
    pages, url = [], f"/?sort={sort}"
    while url:
        response = as_ana.get(url)
        pages.append([row.anomaly.public_id for row in response.context["rows"]])
        url = response.context["older_url"]
    shown = [Row(Anomaly.objects.get(public_id=one)) for page in pages for one in page]
    keys = [(shown_as(row)[sort.lstrip("-")], row.anomaly.detected_at, row.anomaly.pk) for row in shown]
    assert len(keys) == 24
    assert keys == sorted(keys, reverse=sort.startswith("-"))  # type: ignore[type-var]
    back, url = [pages[-1]], response.context["newer_url"]
    while url:
        response = as_ana.get(url)
        back.insert(0, ids(response))
        url = response.context["newer_url"]
    assert back == pages


@pytest.mark.parametrize("column", [column for column in COLUMNS if column != "detected"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_no_order_sorts_the_table(column: str, sign: str) -> None:
    of_all_kinds(24)
    listing = Listing(QueryDict(f"sort={sign}{column}"), AnonymousUser())
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off")  # that is: only if there is no other way
        plan = listing.matching().order_by(*listing.order)[:5].explain()
    assert "Sort" not in plan


def test_new_rows_do_not_shift_the_older_page(as_ana: Client) -> None:
    many(60)
    url = as_ana.get("/").context["older_url"]
    before = ids(as_ana.get(url))
    make.anomaly(detected_at=make.NOW + timedelta(days=1))
    assert ids(as_ana.get(url)) == before


def test_an_unknown_page_is_the_first_one_and_says_so(as_ana: Client) -> None:
    make.anomaly()
    response = as_ana.get("/?older=anom_gone")
    assert "There is no anomaly “anom_gone” to go on from" in response.text
    assert len(ids(response)) == 1


def test_headers_sort_and_turn_the_order(as_ana: Client) -> None:
    make.anomaly()

    def heads(url: str) -> dict[str, tuple[str, str]]:
        return {one.column.label: (one.url, one.direction) for one in as_ana.get(url).context["headers"]}

    assert heads("/") == {
        "Severity": ("/?sort=-severity", "none"),
        "Type": ("/?sort=type", "none"),
        "What happened": ("/?sort=what", "none"),
        "Agent/User": ("/?sort=who", "none"),
        "Resource": ("/?sort=resource", "none"),
        "Integration": ("/?sort=integration", "none"),
        "Where": ("/?sort=-where", "none"),
        "Detected": ("/?sort=detected", "descending"),
        "Status": ("/?sort=status", "none"),
    }
    assert heads("/?sort=-severity")["Severity"] == ("/?sort=severity", "descending")
    assert heads("/?sort=type&severity=high")["Type"] == ("/?severity=high&sort=-type", "ascending")
    assert heads("/?sort=-type")["Type"] == ("/?sort=type", "descending")
    assert heads("/?sort=detected")["Detected"] == ("/", "ascending")
    assert 'aria-sort="ascending"><a href="/?sort=-type"' in as_ana.get("/?sort=type").text


def test_where_no_headers_are_shown_a_menu_sorts_and_keeps_the_filters(as_ana: Client) -> None:
    make.anomaly()
    menu = as_ana.get("/?severity=high&sort=type").text.partition('id="sorting"')[2].partition("</details>")[0]
    assert "Sort: Type " in menu
    assert '<a class="item" href="/?severity=high&amp;sort=-severity"' in menu
    assert menu.count('aria-current="true"') == 1
    turned = as_ana.get("/?sort=type", headers={"HX-Request": "true", "HX-Target": "results"}).text
    assert '<details class="menu sorting" id="sorting" name="filter" hx-swap-oob="true">' in turned


@pytest.mark.parametrize("count", [5, 50])
def test_the_list_asks_the_database_as_often_for_50_rows_as_for_5(
    as_ana: Client, count: int, django_assert_num_queries: object
) -> None:
    many(count)
    as_ana.get("/")
    # session, user with permissions; rows, their bookmarks and series, newest id; counts of the filters, between
    # two limits of time in a transaction; assignees; six views, those that were saved; sources with the last scan,
    # the other reviewers, notices
    with django_assert_num_queries(22):  # type: ignore[operator]
        as_ana.get("/")
    as_ana.cookies["local_zone"] = "Europe%2FBerlin"
    # session, user with permissions; rows, their bookmarks and series, newest id; views that were saved;
    # sources with the last scan, the other reviewers, notices: nothing is counted before
    with django_assert_num_queries(10):  # type: ignore[operator]
        as_ana.get("/")
    # session, user with permissions; six views; what matches, between two limits of time in a transaction
    with django_assert_num_queries(13):  # type: ignore[operator]
        as_ana.get("/anomalies/counts/")


def test_without_scripts_the_options_are_in_the_page(as_ana: Client) -> None:
    make.anomaly(severity=Severity.HIGH)
    page = as_ana.get("/").text
    assert '<input type="checkbox" name="severity" value="high">' in page
    assert "/anomalies/counts/" not in page
    assert "1 open, 1 high" in page
    assert "1 match" in page


def test_with_scripts_options_wait_until_a_filter_is_opened_and_chosen_ones_stay_chosen(as_ana: Client) -> None:
    make.anomaly(severity=Severity.HIGH)
    as_ana.cookies["local_zone"] = "Europe%2FBerlin"
    page = as_ana.get("/?severity=high&sort=severity").text
    assert 'type="checkbox" name="severity"' not in page
    assert 'hx-get="/filters/severity/" hx-include="#filters" hx-trigger="intersect once"' in page
    assert '<input type="hidden" name="severity" value="high">' in page
    assert 'hx-get="/anomalies/counts/?severity=high" hx-trigger="load"' in page
    # A cookie of a browser that runs none any more
    assert '<a href="/?severity=high&amp;sort=severity&amp;counted=1">' in page
    assert 'type="checkbox" name="severity" value="high" checked' in as_ana.get("/?severity=high&counted=1").text
    swapped = as_ana.get("/?severity=high", headers=RESULTS).text
    assert 'id="tally" hx-get="/anomalies/counts/?severity=high" hx-trigger="load"' in swapped
    assert "anomalies match" not in swapped  # said when they are counted


def test_what_cannot_be_counted_in_time_is_counted_near_the_newest(
    as_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(30)
    slow = Anomaly.objects.extra(where=["pg_sleep(0.01)::text = ''"])
    monkeypatch.setattr("anomalies.web.facets.MOST_MILLISECONDS", 60)
    monkeypatch.setattr("anomalies.web.facets.NEAR", 3)
    assert said_count(Anomaly.objects.all()) == "30"
    assert said_count(slow) == "6+"  # three at a time are detected
    assert said_count(slow.filter(description="absent")) == "0"
    counts = count_anomalies(slow, ["severity", "type"])
    assert counts.capped
    assert sum(counts.of["type"].values()) == 6
    assert said_count(Anomaly.objects.all()) == "30"  # what follows may take its time


def test_counts_follow_the_rows(as_vic: Client, as_zoe: Client) -> None:
    make.anomaly(severity=Severity.HIGH)
    make.anomaly(severity=Severity.LOW)
    counts = as_vic.get("/anomalies/counts/?severity=low").text
    assert '<span id="matching" hx-swap-oob="true">, 1 match</span>' in counts
    assert '<p id="counts" hx-swap-oob="true">2 open, 1 high</p>' in counts
    assert '<small id="count-5" hx-swap-oob="innerHTML">2</small>' in counts
    assert "1 anomalies match." in counts
    as_vic.cookies["local_zone"] = "Europe%2FBerlin"
    assert "2 open, 1 high" in as_vic.get("/").text  # those counted last, until it is done again
    assert as_zoe.get("/anomalies/counts/").status_code == 403


def test_htmx_swaps_the_table_and_the_counts_and_gets_a_short_address(as_ana: Client) -> None:
    make.anomaly(severity=Severity.LOW)
    high = make.anomaly(severity=Severity.HIGH)
    response = as_ana.get("/?severity=high&type_search=&last=&unit=days&sort=-detected", headers=RESULTS)
    assert ids(response) == [high.public_id]
    assert "<html" not in response.text
    assert response.headers["HX-Push-Url"] == "/?severity=high"
    assert 'id="counts" hx-swap-oob="true"' in response.text
    assert 'id="menu-type"' in response.text
    assert f'<tr id="row-{high.public_id}" class="high">' in response.text


def test_what_is_open_beside_the_list_stays_in_the_address_when_it_is_filtered(as_vic: Client) -> None:
    anomaly = make.anomaly(severity=Severity.LOW)
    shown = {**RESULTS, "HX-Current-URL": f"http://testserver/?status=open&open={anomaly.public_id}"}
    response = as_vic.get("/", {"severity": "high"}, headers=shown)
    assert response.headers["HX-Push-Url"] == f"/?severity=high&open={anomaly.public_id}"
    assert 'id="panel-' in as_vic.get(response.headers["HX-Push-Url"]).text


def test_every_link_that_htmx_follows_is_a_link_without_it_too(as_ana: Client) -> None:
    many(60)
    page = as_ana.get("/?severity=high").text
    for tag in re.findall(r"<a [^>]*hx-get[^>]*>", page):
        assert re.search(r'href="([^"]+)"', tag), tag
        assert re.search(r'href="([^"]+)"', tag)[1] == re.search(r'hx-get="([^"]+)"', tag)[1]  # type: ignore[index]


def test_counts_stop_at_ten_thousand(as_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalies.web.facets.MOST_ROWS", 10)
    many(12)
    response = as_ana.get("/")
    assert response.context["match_count"] == "10+"
    severities = next(menu for menu in response.context["menus"] if menu.name == "severity")
    assert all(option.count.endswith("+") for option in severities.options)


def test_the_views_count_what_they_show(as_ana: Client) -> None:
    make.anomaly(severity=Severity.LOW)
    make.anomaly(severity=Severity.HIGH)
    done = make.anomaly(severity=Severity.HIGH)
    as_ana.post(f"/anomalies/{done.public_id}/acknowledge/")
    seen = {view.label: (view.url, view.count) for view in as_ana.get("/").context["views"]}
    assert seen == {
        "Needs review": ("/?status=open", "2"),
        "High, unacknowledged": ("/?severity=high&status=open", "1"),
        "Mine": ("/?assignee=me&status=open&status=acknowledged", "0"),
        "Snoozed": ("/?status=snoozed", "0"),
        "Bookmarked": ("/?bookmarked=me", "0"),
        "All": ("/", "3"),
    }
    current = [v.label for v in as_ana.get("/?status=open&severity=high").context["views"] if v.current]
    assert current == ["High, unacknowledged"]


def test_a_pill_offers_what_was_raised_since_and_matches(as_ana: Client) -> None:
    first = make.anomaly()
    url = f"/anomalies/new/?severity=high&since={first.public_id}"
    assert "show" not in as_ana.get(url).text
    make.anomaly(severity=Severity.LOW)
    make.anomaly(severity=Severity.HIGH, detected_at=make.NOW - timedelta(days=9))
    answer = as_ana.get(url).text
    assert "1 new, show" in answer
    assert 'href="/?severity=high"' in answer


def test_without_events_the_page_explains_how_to_send_some(as_ana: Client) -> None:
    page = as_ana.get("/").text
    assert "No events yet" in page
    assert "http://testserver/v1/events" in page
    assert "uv run manage.py ingest FILE --format sshd --source bastion --year 2026" in page
    assert "Content-Type: application/json" in page


def test_without_anomalies_the_page_says_how_far_it_is_complete(as_ana: Client) -> None:
    make.event()
    assert "no scan has finished yet" in as_ana.get("/").text
    make.scan()
    page = as_ana.get("/").text
    assert "No anomalies" in page
    assert "20 Nov 12:00</time> UTC: nothing so far deviates" in page


def test_when_nothing_matches_there_is_a_way_out(as_ana: Client) -> None:
    make.anomaly(severity=Severity.LOW)
    page = as_ana.get("/?severity=high").text
    assert "Nothing matches these filters" in page
    assert 'href="/"' in page


def test_the_open_panel_is_part_of_the_address(as_ana: Client) -> None:
    anomaly = make.anomaly()
    page = as_ana.get(f"/?open={anomaly.public_id}").text
    assert f'<article class="panel" id="panel-{anomaly.public_id}"' in page
    assert "Open: there is no anomaly “anom_gone”" in as_ana.get("/?open=anom_gone").text
