"""The benchmarks run, and give figures. How large those are is no test."""

import pytest
from django.test import override_settings

from tests.benchmarks import budgets, deviations, ingest, pages, peer, quality, reviewing, scanning, threats, turns

pytestmark = pytest.mark.django_db


def test_ingest_is_measured_beside_bare_copies() -> None:
    assert ingest.http(events_a_call=20, calls=1, agents=3).ratio > 0
    assert ingest.file(events=50, agents=3).ratio > 0


def test_a_scan_is_measured_beside_a_bare_upsert() -> None:
    ratio = scanning.new_events(events=200, agents=5, days=3, rounds=1).ratio
    assert ratio is not None
    assert ratio > 0
    assert scanning.nothing_new(agents=5, days=3, rounds=1).ours > 0


def test_counting_is_measured_beside_a_bare_group_by() -> None:
    ratio = scanning.from_scratch(events=500, agents=5, days=3, rounds=1).ratio
    assert ratio is not None
    assert ratio > 0


def test_the_ratio_of_turns_is_the_median_of_their_own() -> None:
    assert turns.of_turns([(2.0, 1.0), (20.0, 10.0), (3.0, 4.0)]) == (3.0, 4.0, 2.0)


def test_histories_reach_numpy() -> None:
    assert scanning.into_numpy(series=5, days=3, rounds=1).ours > 0


@override_settings(STORAGES={"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}})
def test_pages_of_the_list_are_measured_beside_bare_ones() -> None:
    with pages.seen_by_viewer(30_000) as client:
        taken = dict(pages.list_of(client, rounds=1))
        nothing = taken.pop("search, none")
        assert nothing.ours > 0
        assert all(page.ratio and page.ratio > 0 for page in taken.values())
        assert all(page.ours > 0 for _, page in pages.asked_after(client, rounds=1))
        assert pages.first_page_bytes(client) > 1000


@override_settings(STORAGES={"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}})
def test_details_are_measured_beside_many_events() -> None:
    with pages.seen_by_viewer(2000) as client:
        assert len(dict(pages.details_of(client, 1000, rounds=1))) == 6


def test_lists_of_deviations_are_measured_beside_bare_statements() -> None:
    assert all(taken.ratio and taken.ratio > 0 for _, taken in deviations.listed(2000, rounds=1))


def test_lists_of_threats_are_measured_beside_bare_statements() -> None:
    assert all(taken.ratio and taken.ratio > 0 for _, taken in threats.listed(2000, rounds=1))


def test_decisions_about_many_are_measured_beside_bare_statements() -> None:
    taken = reviewing.bulk_of(200, rounds=1)
    assert {verb: bool(one.ratio) for verb, one in taken.items()} == {"acknowledge": True, "undo": True}


def test_quality_is_measured_on_counts_and_organisations() -> None:
    counts = quality.simulated_counts(series=20, days=4, peers=(), scenarios=1)
    found = [*counts, *quality.newcomers(groups=2), *quality.organisation(days=2, agents=3)]
    assert {row.detector for row in found} >= {"ours", "Grantex's thresholds"}
    assert all(row.recall is None or 0 <= row.recall <= 1 for row in found)


def test_each_budget_and_each_peer_has_a_name_of_its_own() -> None:
    assert len({budget.name for budget in budgets.BUDGETS}) == len(budgets.BUDGETS)
    assert set(quality.PEERS) <= set(vars(peer))
