"""web/filters and web/menus: AND between filters, OR within one, and nothing silent."""

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import QueryDict
from django.test import Client

from anomalies.models import Bookmark, Severity, Suppression
from anomalies.web.listing.filters import AnomalyFilter
from anomalies.web.listing.menus import menu_of, menus_of
from tests import make

pytestmark = pytest.mark.django_db


def matching(query: str) -> set[str]:
    return {anomaly.description for anomaly in AnomalyFilter(QueryDict(query), AnonymousUser()).matching()}


@pytest.fixture
def four() -> None:
    make.anomaly(description="one", type="rate_spike", severity=Severity.HIGH, agent=make.agent("ag/1%2F2"))
    make.anomaly(description="two", type="rate_spike", severity=Severity.LOW, principal=make.principal("user_2"))
    make.anomaly(description="three", type="new_principal", severity=Severity.LOW, integration="okta", ip="10.2.0.14")
    make.anomaly(
        description="four",
        type="off_hours_activity",
        severity=Severity.MEDIUM,
        resource_type="bucket",
        resource="payroll",
    )


def test_suppressed_snoozed_and_withdrawn_are_statuses_of_their_own_beside_open() -> None:
    hidden = Suppression.objects.create(reason="The auditors' scan", owner="ana", type="rate_spike")
    make.anomaly(description="asked")
    make.anomaly(description="hidden", suppression=hidden)
    make.anomaly(
        description="decided",
        suppression=hidden,
        status="acknowledged",
        acknowledged_at=make.NOW,
        acknowledged_by="ana",
    )
    make.anomaly(description="explained", suppression=hidden, state="withdrawn", ended_at=make.NOW)
    make.anomaly(description="later", snoozed_until=make.NOW)
    assert matching("status=open") == {"asked"}
    assert matching("status=snoozed") == {"later"}
    assert matching("status=suppressed") == {"hidden"}
    assert matching("status=withdrawn") == {"explained"}
    assert matching("status=acknowledged&status=suppressed") == {"hidden", "decided"}
    [menu] = [menu for menu in menus_of(AnomalyFilter(QueryDict(""), AnonymousUser())) if menu.name == "status"]
    counts = {option.label: option.count for option in menu.options}
    assert counts == {
        "Open": "1", "Acknowledged": "1", "Resolved": "0", "Snoozed": "1", "Suppressed": "1", "Withdrawn": "1"
    }  # fmt: skip


def test_what_is_suppressed_is_marked_in_the_list_and_explained_in_the_panel(as_ana: Client) -> None:
    hidden = Suppression.objects.create(reason="The auditors' scan", owner="bo", type="rate_spike")
    anomaly = make.anomaly(suppression=hidden)
    assert "Suppressed</span>" in as_ana.get("/").text
    assert f"row-{anomaly.public_id}" not in as_ana.get("/?status=open").text
    page = as_ana.get(f"/anomalies/{anomaly.public_id}/").text
    assert "Suppressed, not up for review: The auditors&#x27; scan (by <bdi>bo</bdi>)" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"one", "two", "three", "four"}),
        ("type=rate_spike", {"one", "two"}),
        ("severity=low", {"two", "three"}),
        ("severity=low&severity=high", {"one", "two", "three"}),
        ("type=rate_spike&severity=low", {"two"}),
        ("agent=ag/1%252F2", {"one"}),
        ("user=user_2", {"two"}),
        ("integration=okta", {"three"}),
        ("resource_type=bucket", {"four"}),
        ("status=open&severity=medium", {"four"}),
        ("status=acknowledged", set()),
        ("q=THRE", {"three"}),
        ("q=10.2.0.14", {"three"}),
        ("q=user_2", {"two"}),
        ("q=ag/1%252F", {"one"}),
        ("q=rate SPI", {"one", "two"}),
        ("q=OKT", {"three"}),
        ("q=payroll", {"four"}),
        ("q=100%25_'%22\\", set()),
        ("severity=", {"one", "two", "three", "four"}),
    ],
)
def test_filters_combine_by_and_and_within_one_by_or(four: None, query: str, expected: set[str]) -> None:
    filters = AnomalyFilter(QueryDict(query), AnonymousUser())
    assert {anomaly.description for anomaly in filters.matching()} == expected
    assert filters.complaints == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("billing", True),
        ("BILL", True),
        ("ag_bill", True),
        ("proj 17", True),
        ("17 projects", True),
        ("projects/17", True),
        ("/projects/17", True),
        ("expected payroll", True),
        ("62.5 %", True),
        ("(31/50),", True),
        ("high fail", True),  # the label of its type
        ("o'neil\\x", True),
        ("illing", False),  # no word begins so
        ("billing absent", False),
        ("ag_billing_2", False),
        ("projects/18", False),
        ("| & ! <-> ':*", False),
    ],
)
def test_the_search_finds_all_words_from_their_beginnings(text: str, found: bool) -> None:
    make.anomaly(
        description="62.5 % denied (31/50), payroll of o'neil\\x, 38 expected",
        type="high_failure_rate",
        agent=make.agent("ag_billing"),
        resource="arn:aws:db:eu/projects/17",
    )
    make.anomaly(description="another", type="rate_spike", resource="elsewhere", agent=make.agent("ag_2"))
    assert len(matching(urlencode({"q": text}))) == found


def test_a_word_of_any_length_is_kept_to_what_an_index_holds() -> None:
    make.anomaly(description="é" * 5000, resource="ü" * 1000)
    assert len(matching("q=" + "é" * 200)) == 1


@pytest.mark.parametrize(
    ("query", "sentence", "expected"),
    [
        ("severity=huge&type=rate_spike", "Severity: there is no “huge”, only High, Medium, Low.", 2),
        ("severity=huge&severity=low", "Severity: there is no “huge”, only High, Medium, Low.", 2),
        ("type=';drop table x", "Type: there is no “';drop table x”, only Rate spike, ", 4),
        ("agent=nobody", "Agent: no anomaly has “nobody”.", 4),
        ("agent=a%00b", "Agent: no anomaly has “a\x00b”.", 4),
        ("integration=<b>", "Integration: no anomaly has “<b>”.", 4),
        ("q=a%00b", "Search: it is no text of at most 200 characters", 4),
        (f"q={'x' * 201}", "Search: it is no text of at most 200 characters", 4),
        ("last=abc", "Last: “abc” is not a whole number from 1 to 9,999.", 4),
        ("last=0", "Last: “0” is not a whole number", 4),
        ("last=99999999999999999999", "is not a whole number", 4),
        ("last=٣", "Last: “٣” is not a whole number", 4),
        ("last=3&unit=fortnights", "Unit: “fortnights” is none of hours, days, months.", 4),
        ("from=yesterday", "From: “yesterday” is no date and time such as 2026-11-20T14:05.", 4),
        ("to=2026-13-01T00:00&from=2020-01-01", "To: “2026-13-01T00:00” is no date and time", 4),
        ("from=0001-01-01T00:00%2B14:00", "From: “0001-01-01T00:00+14:00” is no date and time", 4),
        ("from=2026-02-01&to=2026-01-01", "The start is after the end.", 0),
        ("from=2026-02-01&to=2026-02-01", "The start is the end.", 0),
        ("last=00000000199999999999&unit=days", "is not a whole number from 1 to 9,999.", 4),
    ],
)
def test_what_makes_no_sense_is_named_and_the_rest_applies(
    four: None, query: str, sentence: str, expected: int
) -> None:
    filters = AnomalyFilter(QueryDict(query), AnonymousUser())
    assert len(filters.complaints) == 1
    assert sentence in filters.complaints[0]
    assert len(filters.matching()) == expected


@pytest.mark.parametrize("name", ["severty", "sort_by", "x\x00y"])
def test_an_unknown_parameter_is_named(as_ana: Client, four: None, name: str) -> None:
    response = as_ana.get("/", {name: "1"})
    assert "There is no filter “" in response.text
    assert len(response.context["rows"]) == 4


def test_too_many_values_are_counted_not_dropped_in_silence(four: None) -> None:
    query = "&".join(f"severity={'low' if i == 0 else i}" for i in range(60))
    filters = AnomalyFilter(QueryDict(query), AnonymousUser())
    assert "60 values, of which the first 50 were applied" in filters.complaints[0]


def test_complaints_are_one_list(as_ana: Client, four: None) -> None:
    page = as_ana.get("/?severity=huge&last=x").text
    assert page.count('<div class="alert">') == 1
    assert page.count("<li><bdi>") == 2


@pytest.mark.parametrize(("unit", "example"), [("hours", "24"), ("days", "7"), ("months", "3")])
def test_the_filter_by_time_gives_an_example_of_its_unit(as_ana: Client, unit: str, example: str) -> None:
    page = as_ana.get(f"/?unit={unit}").text
    assert f'placeholder="{example}"' in page
    assert f'<span class="unit {unit}">{unit[:-1]}</span>' in page


def test_a_complaint_is_text_and_never_markup(as_ana: Client, four: None) -> None:
    page = as_ana.get("/", {"severity": "<script>alert(1)</script>"}).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_options_count_what_they_would_show_beside_the_other_filters(four: None) -> None:
    menus = {menu.name: menu for menu in menus_of(AnomalyFilter(QueryDict("type=rate_spike"), AnonymousUser()))}
    assert {o.label: o.count for o in menus["severity"].options} == {"High": "1", "Medium": "0", "Low": "1"}
    types = {option.word: option.count for option in menus["type"].options}
    assert (types["rate_spike"], types["new_principal"], types["off_hours_activity"]) == ("2", "1", "1")
    assert [o.word for o in menus["type"].options if o.chosen] == ["rate_spike"]


def test_a_filter_in_use_says_so(four: None) -> None:
    menus = {
        menu.name: menu
        for menu in menus_of(AnomalyFilter(QueryDict("type=rate_spike&severity=low&severity=high"), AnonymousUser()))
    }
    assert menus["type"].summary == "Type: Rate spike"
    assert menus["severity"].summary == "Severity: 2"
    assert menus["status"].summary == "Status"


def test_searching_options_finds_parts_and_forgets_no_choice(four: None) -> None:
    menu = menu_of(AnomalyFilter(QueryDict("type=rate_spike&type_search=PRINC"), AnonymousUser()), "type")
    assert [option.label for option in menu.options] == ["New principal"]
    assert menu.unseen == ["rate_spike"]


def test_the_options_are_asked_for_by_themselves(as_ana: Client, four: None) -> None:
    answer = as_ana.get("/filters/agent/?agent_search=1%252F").text
    assert 'value="ag/1%2F2"' in answer
    assert "Nothing contains “zzz”" in as_ana.get("/filters/agent/?agent_search=zzz").text


def test_a_long_list_of_options_says_how_many_it_hides() -> None:
    for number in range(53):
        make.anomaly(agent=make.agent(f"ag_{number}"))
    menu = menu_of(AnomalyFilter(QueryDict("agent=ag_52"), AnonymousUser()), "agent")
    assert (len(menu.options), menu.hidden, menu.total) == (50, 3, 53)
    assert menu.options[0].word == "ag_52"


def test_the_address_says_what_applies_and_nothing_else(four: None) -> None:
    query = "severity=low&severity=huge&last=3&unit=days&from=2020-01-01&type_search=x&q= two "
    assert AnomalyFilter(QueryDict(query), AnonymousUser()).query().urlencode() == "last=3&unit=days&severity=low&q=two"


def test_filters_work_as_a_plain_form(as_ana: Client, four: None) -> None:
    form = {
        "when": "relative",
        "last": "",
        "unit": "days",
        "from": "",
        "to": "",
        "severity": "low",
        "sort": "-detected",
    }
    response = as_ana.get("/", {**form, "type_search": "", "q": ""})
    assert len(response.context["rows"]) == 2
    assert response.context["listing"].complaints == []
    assert '<input type="checkbox" name="severity" value="low" checked>' in response.text


def test_the_sort_is_kept_and_an_unknown_one_is_named(as_ana: Client, four: None) -> None:
    assert as_ana.get("/?sort=severity&severity=low").context["listing"].url() == "/?severity=low&sort=severity"
    assert "Sort: “name” is none of severity, type, what, " in as_ana.get("/?sort=name").text


def of(query: str, user: User) -> set[str]:
    return {anomaly.description for anomaly in AnomalyFilter(QueryDict(query), user).matching()}


def counted(query: str, user: User, name: str) -> dict[str, str]:
    menus = {menu.name: menu for menu in menus_of(AnomalyFilter(QueryDict(query), user))}
    return {option.label: option.count for option in menus[name].options}


def test_by_verdict(ana: User) -> None:
    resolved = {"status": "resolved", "resolved_at": make.NOW}
    make.anomaly(description="threat", verdict="true_positive", **resolved)
    make.anomaly(description="usual", verdict="benign", **resolved)
    make.anomaly(description="open")
    assert of("verdict=benign&verdict=true_positive", ana) == {"threat", "usual"}
    assert counted("", ana, "verdict") == {
        "True positive": "1", "Benign (expected)": "1", "False positive": "0", "Duplicate": "0", "Test": "0"
    }  # fmt: skip


def test_by_assignee_me_means_who_looks(ana: User, vic: User) -> None:
    make.anomaly(description="hers", assignee=ana)
    make.anomaly(description="his", assignee=vic)
    make.anomaly(description="nobody's")
    assert of("assignee=me", ana) == {"hers"}
    assert of("assignee=me", vic) == {"his"}
    assert of("assignee=nobody", ana) == {"nobody's"}
    assert of("assignee=nobody&assignee=vic", ana) == {"nobody's", "his"}
    assert counted("", ana, "assignee") == {"Me": "1", "Nobody": "1", "ana": "1", "vic": "1"}
    complaints = AnomalyFilter(QueryDict("assignee=zoe"), ana).complaints
    assert complaints == ["Assignee: nobody who is called “zoe” has one."]


def test_by_each_of_the_countries_it_tells_of(ana: User) -> None:
    for description, countries in {"travel": ["DE", "MY"], "home": ["DE"], "none": []}.items():
        make.anomaly(description=description, countries=countries)
    assert of("country=DE", ana) == {"travel", "home"}
    assert of("country=MY&country=FR", ana) == {"travel"}
    assert counted("", ana, "country") == {"DE": "2", "MY": "1"}
    complaints = AnomalyFilter(QueryDict("country=FR"), ana).complaints
    assert complaints == ["Where: no anomaly has “FR”."]


def test_by_bookmark_each_sees_their_own(ana: User, vic: User) -> None:
    marked = make.anomaly(description="marked")
    make.anomaly(description="other")
    Bookmark.objects.create(user=ana, anomaly=marked)
    assert of("bookmarked=me", ana) == {"marked"}
    assert of("bookmarked=me", vic) == set()
    assert counted("", ana, "bookmarked") == {"By me": "1"}
    assert counted("", vic, "bookmarked") == {"By me": "0"}


def test_time_filters_the_detection(four: None) -> None:
    make.anomaly(description="old", detected_at=make.NOW - timedelta(days=400))
    assert matching("to=2026-01-01&utc=1") == {"old"}
    assert matching("from=2026-11-20T12:00&to=2026-11-20T12:01&utc=1") == {"one", "two", "three", "four"}
