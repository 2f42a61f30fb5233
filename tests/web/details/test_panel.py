"""web/panel and the details page: why it was flagged, what lies behind it, what was decided before."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from anomalies.models import Anomaly, Event, Metric, Retention, ReviewEntry, Series
from anomalies.services import merging, reviews, timeline
from anomalies.services.actor import Actor
from tests import make
from tests.web.test_charts import banded

pytestmark = pytest.mark.django_db
IN_PANEL = {"HX-Request": "true", "HX-Target": "panel"}


def path(anomaly: Anomaly) -> str:
    return f"/anomalies/{anomaly.public_id}/"


def words(html: str) -> str:
    """What a person reads of it."""
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def with_events(count: int, **fields: object) -> Anomaly:
    anomaly = make.anomaly(**fields)
    for i in range(count):
        make.event(
            time=make.NOW - timedelta(minutes=4, seconds=-i),
            ip="10.2.0.14" if i else "10.2.0.19",
            request_id="AR-2041",
            grant_id="grnt_9f2c",
            integration="postgres-prod",
            resource="payments",
            status="failure" if i % 2 else "success",
        )
    return anomaly


def test_the_details_are_a_page_and_a_part_of_one(as_ana: Client) -> None:
    anomaly = make.anomaly()
    page, part = as_ana.get(path(anomaly)).text, as_ana.get(path(anomaly), headers=IN_PANEL).text
    assert "<html" in page
    assert "<html" not in part
    for text in (page, part):
        assert f'id="panel-{anomaly.public_id}"' in text
        assert "412 requests in 5 minutes, 38 expected" in text


def test_the_id_of_a_merged_anomaly_leads_to_the_one_it_is_part_of(as_ana: Client) -> None:
    merged, whole = make.anomaly(kind="principal", entity="eve"), make.anomaly()
    merging.merge(merged, into=whole, scan=make.scan())
    assert f'id="panel-{whole.public_id}"' in as_ana.get(path(merged)).text


def test_what_was_still_learned_of_the_agent_is_said(as_ana: Client) -> None:
    young = make.anomaly()
    assert "Not judged in full yet then: a baseline of its own needs 3 days" in as_ana.get(path(young)).content.decode()
    for metric in ("requests", "failures"):
        first = make.NOW - timedelta(days=30)
        Series.objects.create(kind="agent", entity="ag_billing", metric=metric, first_time=first, last_time=make.NOW)
    assert "Not judged in full" not in as_ana.get(path(young)).content.decode()


def test_why_comes_with_its_numbers_its_rule_and_its_parameters(as_ana: Client) -> None:
    page = as_ana.get(path(make.anomaly())).text
    assert "At this hour on a Friday ag_billing makes 38 requests" in page
    assert "less than 1 in a billion" in page
    assert "Rate spike, version 1 · 28 days of history" in page
    assert "<dt>Above the expected, at least</dt><dd>3 events</dd>" in page


def test_it_says_what_it_may_indicate_and_what_to_do(as_ana: Client) -> None:
    page = as_ana.get(path(make.anomaly())).text
    assert "A job looping on a failed call." in page
    assert "suspend the agent or revoke its grants" in page


def test_a_type_that_is_no_more_is_still_shown(as_ana: Client) -> None:
    anomaly = make.anomaly(type="retired_type")
    assert as_ana.get(path(anomaly)).status_code == 200
    assert "retired_type" in as_ana.get("/").text


def test_its_state_and_who_has_it(as_ana: Client, ana: User) -> None:
    going_on = make.anomaly(assignee=ana)
    ended = make.anomaly(state="closed", ended_at=make.NOW + timedelta(minutes=7))
    next_day = make.anomaly(state="closed", ended_at=make.NOW + timedelta(days=1))
    assert "still going on" in as_ana.get(path(going_on)).text
    assert "with <bdi>ana</bdi>" in as_ana.get(path(going_on)).text
    assert "· ended 12:07 · unassigned" in words(as_ana.get(path(ended)).text)
    assert "· ended 21 Nov 12:00 UTC · unassigned" in words(as_ana.get(path(next_day)).text)


def test_whom_it_is_about_leads_to_all_of_theirs(as_ana: Client) -> None:
    of_user = make.anomaly(kind="principal", entity="eve/1", principal=make.principal("eve/1"))
    page = as_ana.get(path(of_user)).text
    assert '<a href="/principals/eve/1/"><bdi>eve/1</bdi></a> via <a href="/agents/ag_billing/">' in page
    of_address = make.anomaly(kind="address", entity="203.0.113.7")
    assert '<a href="/agents/ag_billing/"><bdi>ag_billing</bdi></a> · detected' in as_ana.get(path(of_address)).text


def test_details_come_from_the_events_with_counts(as_ana: Client) -> None:
    page = as_ana.get(path(with_events(3))).text
    assert "<dt>Request ID</dt><dd><bdi>AR-2041</bdi></dd>" in page
    assert "<dt>Grant</dt><dd><bdi>grnt_9f2c</bdi></dd>" in page
    assert "10.2.0.14 \N{MULTIPLICATION SIGN}2 · 10.2.0.19 \N{MULTIPLICATION SIGN}1" in words(page)


def test_the_first_50_events_open_their_raw_records_and_link_to_all(as_ana: Client) -> None:
    anomaly = with_events(52, evidence={**make.EVIDENCE, "event_count": 52})
    page = as_ana.get(path(anomaly)).text
    assert page.count("&quot;request_id&quot;: &quot;AR-2041&quot;") == 50
    assert "The first 50 of 52." in page
    everything = as_ana.get(f"{path(anomaly)}events/").text
    assert "52 events, oldest first" in everything
    assert everything.count("&quot;request_id&quot;: &quot;AR-2041&quot;") == 52


def test_the_events_are_counted_over_their_time_and_the_busiest_part_is_named(as_ana: Client) -> None:
    evidence = {**make.EVIDENCE, "event_count": 1674, "observed": 650}
    anomaly = make.anomaly(started_at=make.NOW - timedelta(minutes=17), evidence=evidence)
    for page in (as_ana.get(path(anomaly)).text, as_ana.get(f"{path(anomaly)}events/").text):
        words = " ".join(re.sub("<[^>]*>", "", page).split())
        assert "1,674 events from 20 Nov 11:43 to 12:00 UTC" in words
        assert "650 of them in the busiest 5 minutes" in words


def test_events_before_the_interval_are_not_counted_as_its_own(as_ana: Client) -> None:
    anomaly = with_events(3, evidence={**make.EVIDENCE, "event_count": 119, "observed": 119})
    for page in (as_ana.get(path(anomaly)).text, as_ana.get(f"{path(anomaly)}events/").text):
        assert " 3 events from 20 Nov 11:55 to 12:00 UTC" in words(page)
    Retention.objects.create(ran_at=make.NOW, events_before=anomaly.active_until, events_dropped=1)
    assert " 119 events from" in words(as_ana.get(path(anomaly)).text)


def test_a_drop_to_nothing_has_no_events_and_says_why(as_ana: Client) -> None:
    silent = make.anomaly(type="rate_drop", evidence={**make.EVIDENCE, "event_count": 0})
    page = as_ana.get(path(silent)).text
    assert "Nothing came in this time: that is what was flagged." in page
    assert "kept any more" not in page
    assert "No event of this interval is kept any more." in as_ana.get(path(make.anomaly())).text


def test_the_time_of_the_events_begins_with_the_first_that_is_told_of(as_ana: Client) -> None:
    at = make.NOW - timedelta(minutes=29)
    login = {"signs": [{"sign": "travel", "from_time": at.timestamp()}]}
    anomaly = make.anomaly(evidence={**make.EVIDENCE, **login, "event_count": 1})
    make.event(time=at)
    assert "1 event from 20 Nov 11:31 to 12:00 UTC" in words(as_ana.get(path(anomaly)).text)


@pytest.mark.parametrize("told", [{"event_count": 412}, {"unit": "failures", "event_count": 500}])
def test_no_busiest_part_where_the_sentence_speaks_of_all_or_of_something_else(
    as_ana: Client, told: dict[str, object]
) -> None:
    assert "of them in the busiest" not in as_ana.get(path(make.anomaly(evidence={**make.EVIDENCE, **told}))).text


def test_what_was_detected_within_the_minute_is_just_now(as_ana: Client) -> None:
    assert "UTC, just now" in as_ana.get(path(make.anomaly(detected_at=timezone.now()))).text


def test_the_key_undoes_only_what_one_did_oneself(as_ana: Client, ana: User) -> None:
    mine, theirs = make.anomaly(), make.anomaly()
    reviews.acknowledge(mine, by=Actor("ana", ana), at=timezone.now())
    reviews.acknowledge(theirs, by=Actor("bob"), at=timezone.now())
    assert 'data-key="u"' in as_ana.get(path(mine)).text
    page = as_ana.get(path(theirs)).text
    assert 'data-key="u"' not in page
    assert 'data-whose="bob"' in page


def test_all_events_are_filtered_and_paged(as_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalies.web.views.EVENTS_PAGE_SIZE", 4)
    events = f"{path(with_events(11))}events/"
    first = as_ana.get(f"{events}?status=success")
    assert len(first.context["events"]) == 4
    later = as_ana.get(f"{events}?status=success&later={first.context['later'].pk}")
    shown = [raw.event for raw in first.context["events"] + later.context["events"]]
    assert shown == list(Event.objects.filter(status="success").order_by("time", "id"))
    assert len(as_ana.get(f"{events}?q=10.2.0.19").context["events"]) == 1
    assert "No event matches" in as_ana.get(f"{events}?q=zzz").text
    assert "Status: there is no “odd”, only success, failure, blocked." in as_ana.get(f"{events}?status=odd").text


@pytest.mark.parametrize("parameter", ["later=x", "later=99999999999999999999", "earlier=-1", "q=%00"])
def test_an_odd_page_of_events_is_the_first_one(as_ana: Client, parameter: str) -> None:
    assert len(as_ana.get(f"{path(with_events(3))}events/?{parameter}").context["events"]) == 3


def test_before_tells_how_the_same_was_decided(as_ana: Client, ana: User) -> None:
    day = timedelta(days=1)
    earlier = make.anomaly(started_at=make.NOW - 3 * day)
    make.anomaly(started_at=make.NOW - 2 * day)
    make.anomaly(started_at=make.NOW - 2 * day, type="new_principal")
    make.anomaly(started_at=make.NOW - 2 * day, agent=make.agent("ag_other"))
    reviews.acknowledge(earlier, by=Actor("ana", ana), at=make.NOW - day, note="Month-end run.")
    page = as_ana.get(path(make.anomaly())).text
    assert "2 “Rate spike” of <bdi>ag_billing</bdi> before: " in page
    assert "1 acknowledged" in page
    assert "1 open" in page
    assert "Last decided by <bdi>ana</bdi>, 19 Nov 2026: <q>Month-end run.</q></p>" in page
    assert "The first “Rate spike” of <bdi>ag_billing</bdi>" in as_ana.get(path(earlier)).text


def test_the_timeline_tells_who_and_when(as_ana: Client, ana: User) -> None:
    anomaly = make.anomaly()
    entry = reviews.acknowledge(anomaly, by=Actor("ana", ana), at=make.NOW + timedelta(minutes=1), note="seen <b>")
    reviews.undo(entry, by=Actor("bob"), at=make.NOW + timedelta(minutes=2))
    page = as_ana.get(path(anomaly)).text
    timeline = page[page.index("Timeline") :]
    assert timeline.index("Detected") < timeline.index("Acknowledged by <bdi>ana</bdi>") < timeline.index("Undone by")
    assert "seen &lt;b&gt;" in timeline
    assert "20 Nov 12:01" in timeline


def test_detection_is_told_once(as_ana: Client) -> None:
    anomaly = make.anomaly()
    ReviewEntry.objects.create(anomaly=anomaly, action="detected", at=make.NOW, actor="detection")
    page = as_ana.get(path(anomaly)).text
    assert page[page.index("Timeline") :].count("Detected") == 1


def test_undo_stays_reachable_while_the_acknowledgement_holds(as_ana: Client, ana: User) -> None:
    anomaly = make.anomaly()
    entry = reviews.acknowledge(anomaly, by=Actor("ana", ana), at=timezone.now())
    reviews.add_note(anomaly, by=Actor("ana", ana), at=timezone.now(), note="later")
    assert f'action="/reviews/{entry.pk}/undo/"' in as_ana.get(path(anomaly)).text
    reviews.undo(entry, by=Actor("ana", ana), at=timezone.now())
    page = as_ana.get(path(anomaly)).text
    assert "/undo/" not in page
    assert f'action="{path(anomaly)}acknowledge/"' in page


def test_the_timeline_is_by_time_whatever_was_written_first(as_ana: Client, ana: User) -> None:
    anomaly, now = make.anomaly(), timezone.now()
    timeline.record(anomaly, ReviewEntry.Action.MERGED, now, note="anom_1 (eve): the same cause")
    reviews.acknowledge(anomaly, by=Actor("ana", ana), at=now - timedelta(hours=1))
    page = as_ana.get(path(anomaly)).text
    assert page.index("Acknowledged by <bdi>ana") < page.index("Merged with anom_1")
    assert "/undo/" in page


def test_the_chart_is_drawn_and_its_span_is_chosen_by_link(as_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = []

    def series(anomaly: Anomaly, metric: Metric | None, *, span: timedelta, now: object) -> object:
        spans.append(span)
        return banded()

    monkeypatch.setattr("anomalies.web.details.panel.banded_series", series)
    anomaly = make.anomaly()
    page = as_ana.get(f"{path(anomaly)}?span=7d").text
    assert spans == [timedelta(days=7)]
    assert '<svg class="chart"' in page
    assert "style=" not in page
    assert '<b aria-current="true">7 d</b>' in page
    part = as_ana.get(f"{path(anomaly)}?span=30d", headers={"HX-Request": "true", "HX-Target": "chart"}).text
    assert part.strip().startswith('<section id="chart"')
    assert "Timeline" not in part
    assert "span: “9y” is none of 24h, 7d, 30d." in as_ana.get(f"{path(anomaly)}?span=9y").text


def test_of_an_inactive_user_a_span_is_shown_that_holds_the_gap(as_ana: Client) -> None:
    last = make.NOW - timedelta(days=212)
    gap = {**make.EVIDENCE, "request_id": "req_1", "last_request_at": last.timestamp()}
    anomaly = make.anomaly(type="inactive_user", kind="principal", entity="eve", evidence=gap)
    make.metric(anomaly, what="access_requests")
    page = as_ana.get(path(anomaly)).text
    assert '<b aria-current="true">400 d</b>' in page
    assert "Requests for access in 1 day" in page
    assert '<polygon class="band"' not in page
    assert "22 Apr 12:00 UTC to 20 Nov 12:00 UTC" in page
    assert "span: “90d” is none of 24h, 7d, 30d, 400d." in as_ana.get(f"{path(anomaly)}?span=90d").text


def test_the_way_back_leads_to_the_list_one_came_from(as_ana: Client) -> None:
    page = as_ana.get(f"{path(make.anomaly())}?severity=high&span=7d").text
    assert 'href="/?severity=high"' in page


@pytest.mark.parametrize(("count", "queries"), [(5, 19), (50, 20)])  # the last one counts them
def test_the_panel_asks_the_database_as_often_for_50_events_as_for_5(
    as_ana: Client, count: int, queries: int, django_assert_num_queries: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalies.web.details.panel.banded_series", lambda *args, **kwargs: banded())
    anomaly = with_events(count)
    make.interval(make.metric(anomaly))
    # session, user with permissions; the anomaly, its parts, its series, their intervals, what was still learned,
    # its events, when some were dropped, their facts, requests by name, its neighbours, two of before, timeline,
    # the bookmark, the other reviewers
    with django_assert_num_queries(queries):  # type: ignore[operator]
        as_ana.get(path(anomaly), headers=IN_PANEL)


def test_events_that_retention_dropped_are_told_and_not_just_missing(as_ana: Client) -> None:
    old = make.anomaly(started_at=make.NOW - timedelta(days=500), active_until=make.NOW - timedelta(days=500))
    Retention.objects.create(ran_at=make.NOW, events_before=make.NOW - timedelta(days=400), events_dropped=7)
    page = as_ana.get(f"/anomalies/{old.public_id}/").text
    assert "Events dropped by retention on" in page
    assert "412 events" in page


@pytest.mark.parametrize(
    ("deviation", "said"),
    [("transient", "Transient: a spike in a stable range."), ("pattern_change", "Pattern change: the range itself")],
)
def test_a_change_of_pattern_is_told_from_a_spike(as_ana: Client, deviation: str, said: str) -> None:
    assert said in as_ana.get(path(make.anomaly(deviation=deviation))).text
    assert said not in as_ana.get(path(make.anomaly())).text


def test_a_drop_is_no_spike(as_ana: Client) -> None:
    drop = make.anomaly(type="rate_drop", deviation="transient", evidence={**make.EVIDENCE, "observed": 0})
    assert "Transient: a dip in a stable range." in as_ana.get(path(drop)).text


def test_a_withdrawn_anomaly_says_why(as_ana: Client) -> None:
    page = as_ana.get(path(make.anomaly(state="withdrawn", ended_at=make.NOW))).text
    assert "Withdrawn: events that came late explain it. Nobody is asked about it." in page
    assert "still going on" not in page


def test_the_parts_of_an_anomaly_are_named_with_what_was_decided(as_ana: Client) -> None:
    whole = make.anomaly()
    part = make.anomaly(kind="principal", entity="user_7")
    reviews.acknowledge(part, by=Actor("ana"), at=make.NOW)
    merging.merge(part, into=whole, scan=make.scan())
    page = as_ana.get(path(whole)).text
    assert "Also seen as: rate spike of <bdi>user_7</bdi> (acknowledged by <bdi>ana</bdi>)" in page
    assert f"<dt>Merged into it</dt><dd><code>{part.public_id}</code></dd>" in page
    assert f"Merged with {part.public_id} (user_7, acknowledged before): the same cause" in page


def test_a_part_of_another_type_is_called_by_it(as_ana: Client) -> None:
    whole, part = make.anomaly(), make.anomaly(type="off_hours_activity")
    merging.merge(part, into=whole, scan=make.scan())
    assert "Also seen as: off hours of <bdi>ag_billing</bdi></p>" in as_ana.get(path(whole)).text


def test_what_took_no_minute_is_told_at_its_time(as_ana: Client) -> None:
    evidence = {**make.EVIDENCE, "event_count": 1}
    anomaly = make.anomaly(started_at=make.NOW, active_until=make.NOW + timedelta(seconds=1), evidence=evidence)
    assert "1 event at 20 Nov 12:00 UTC" in words(as_ana.get(path(anomaly)).text)


def test_requests_that_were_counted_are_not_called_events(as_ana: Client) -> None:
    evidence = {**make.EVIDENCE, "event_count": 2, "request_id": "AR-1"}
    anomaly = make.anomaly(type="approved_after_rejected", evidence=evidence)
    make.event(time=make.NOW - timedelta(minutes=1), action="access_request.approved")
    page = words(as_ana.get(path(anomaly)).text)
    assert "1 event from 20 Nov 11:55" in page
    assert "The first 1 of" not in page
