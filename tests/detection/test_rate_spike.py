"""detection/detectors/rate_spike."""

from dataclasses import replace

import numpy as np
import pytest

from anomalies.detection.detectors.rate_spike import Config, chart, detect
from anomalies.detection.finding import HIGH, LOW, MEDIUM, PATTERN_CHANGE
from anomalies.detection.history import DAY, HOUR, History, Peers
from tests.detection import build

TEN = -14  # 10:00 of the last day


def test_ten_times_the_usual_rate_is_high() -> None:
    counts = build.office(29)
    counts[0, TEN] = 400
    [finding] = detect(build.history(counts), Config())
    assert finding.severity == HIGH
    assert finding.start == build.START + HOUR * (24 * 29 + TEN)
    assert finding.evidence["observed"] == 400
    assert finding.evidence["expected"] == pytest.approx(40, rel=0.3)
    assert "400 requests in 1 hour" in finding.description


@pytest.mark.parametrize("level", [2.0, 40.0, 400.0])
def test_an_ordinary_week_raises_nothing(level: float) -> None:
    assert detect(build.history(build.office(36, level=level, dispersion=0.1, n=20), judge_days=7), Config()) == []


def test_the_same_count_is_usual_at_ten_and_a_spike_at_three_in_the_night() -> None:
    counts = build.office(29, level=120)
    counts[0, -24 + 3] = 120
    [finding] = detect(build.history(counts), Config())
    assert finding.start == build.START + HOUR * (24 * 28 + 3)


def test_five_minutes_are_seen_before_their_hour_is_out() -> None:
    counts = build.office(29)
    history = build.history(counts)
    fives = history.fives.requests.copy()
    fives[0, -14 * 12 + 2] = 200
    [finding] = detect(replace(history, fives=replace(history.fives, requests=fives)), Config())
    assert finding.evidence["resolution_seconds"] == 300
    assert finding.raised_at == build.START + HOUR * (24 * 29 + TEN) + 900


def test_what_both_resolutions_see_is_one_finding() -> None:
    counts = build.office(29)
    counts[0, TEN : TEN + 2] = 600
    [finding] = detect(build.history(counts), Config())
    assert {interval.resolution_seconds for interval in finding.metrics[0].intervals} == {300, HOUR}
    assert finding.evidence["also"]


def test_quiet_buckets_up_to_two_do_not_part_an_interval() -> None:
    counts = build.office(29)
    counts[0, [TEN, TEN + 3]] = 800
    assert len(detect(build.history(counts), Config(min_excess=300))) == 1
    counts[0, TEN + 3], counts[0, TEN + 5] = counts[0, TEN + 4], 800
    found = detect(build.history(counts), Config(min_excess=300))
    assert len(found) == 2


@pytest.mark.parametrize(("quiet_hours", "still_open"), [(1, True), (2, False)])
def test_it_closes_after_two_quiet_buckets(quiet_hours: int, still_open: bool) -> None:
    counts = build.office(29)
    counts[0, -24 + 10] = 800
    until = build.START + HOUR * (24 * 28 + 11 + quiet_hours)
    config = Config(min_excess=300)
    [finding] = detect(build.history(counts, until=until), config)
    assert finding.open is still_open


def test_a_bucket_under_way_counts_for_what_it_holds() -> None:
    counts = build.office(29)
    counts[0, -24 + 10], counts[0, -24 + 11 :] = 400, 0
    until = build.START + HOUR * (24 * 28 + 10.5)
    [finding] = detect(build.history(counts, until=until), Config())
    assert finding.open


@pytest.mark.parametrize(("days", "most"), [(2, MEDIUM), (5, MEDIUM), (10, HIGH)])
def test_a_short_history_limits_severity(days: int, most: int) -> None:
    counts = build.office(days, level=30)
    counts[0, TEN] = 9000
    [finding] = detect(build.history(counts), Config())
    assert LOW <= finding.severity <= most


def test_an_unknown_entity_may_do_a_little_and_not_a_lot() -> None:
    counts = np.zeros((2, 24), dtype=int)
    counts[0, 10], counts[1, 10] = 60, 5000
    history = replace(build.history(counts), first_time=np.full(2, build.START + 10 * HOUR))
    [finding] = detect(history, Config())
    assert finding.entity == "ag_1"
    assert "never seen before" in finding.evidence["why"]


def _newcomer(count: int, *, members: int, days: int = 30) -> History:
    """An agent's first hour, and a group whose members do 2,000 an hour, each at its own level and hours."""
    counts = np.zeros((1, 24 * days), dtype=int)
    counts[0, TEN] = count
    rng = np.random.default_rng(8)
    peers = rng.poisson(2000 * rng.uniform(0.5, 1.5, (members, 24 * days))).astype(np.int32)
    history = replace(build.history(counts), first_time=np.array([build.START + HOUR * (24 * days + TEN)]))
    group = Peers("importers", build.START, peers, np.full(members, build.START))
    return replace(history, peers={"ag_0": group})


@pytest.mark.parametrize(("count", "found"), [(2000, 0), (6000, 0), (40_000, 1)])
def test_a_newcomer_may_do_what_its_group_does_and_not_a_lot_more(count: int, found: int) -> None:
    assert len(detect(_newcomer(count, members=10), Config())) == found


def test_a_newcomer_of_a_quiet_group_may_do_less_than_one_without_a_group() -> None:
    history = _newcomer(600, members=10)
    quiet = replace(history.peers["ag_0"], requests=history.peers["ag_0"].requests // 1000)
    [finding] = detect(replace(history, peers={"ag_0": quiet}), Config())
    assert "as newcomers of the group importers are" in finding.evidence["why"]
    assert detect(replace(history, peers={}), Config()) == []


def test_what_late_events_may_still_change_of_a_group_is_no_matter() -> None:
    history = _newcomer(40_000, members=10)
    unsettled = history.peers["ag_0"].requests.copy()
    unsettled[:, -3 * 24 :] = 0
    known = replace(history.peers["ag_0"], requests=unsettled)
    assert detect(replace(history, peers={"ag_0": known}), Config()) == detect(history, Config())


def test_a_time_not_to_be_judged_is_not() -> None:
    counts = build.office(29)
    counts[0, -48 + 10] = 4000
    assert detect(build.history(counts, judge_days=1), Config()) == []


def test_its_chart_shows_the_spike_above_the_band() -> None:
    counts = build.office(29)
    counts[0, TEN] = 400
    shown = chart(build.history(counts), Config(), HOUR)
    above = shown.observed > shown.upper
    assert np.flatnonzero(above).tolist() == [10]
    assert (shown.lower <= shown.expected).all()


def _of_actions(totals: np.ndarray, *actions: np.ndarray) -> History:
    """One agent, with rows of its single actions."""
    counts = np.vstack([totals, *actions])
    names = ("", *(f"action_{number}" for number in range(len(actions))))
    return replace(build.history(counts, entities=["ag_0"] * len(counts)), actions=names)


def test_an_action_that_spikes_with_its_agent_is_a_further_metric() -> None:
    reads, writes = build.office(29, level=30), build.office(29, level=10, seed=2)
    writes[0, TEN] = 400
    [finding] = detect(_of_actions(reads + writes, reads, writes), Config())
    assert [metric.action for metric in finding.metrics] == ["", "action_1"]


def test_an_action_that_spikes_while_its_agent_stays_in_its_band_is_named() -> None:
    reads, writes = build.office(29, level=800, dispersion=0.2), build.office(29, level=3, seed=2)
    writes[0, TEN] = 100
    reads[0, TEN] = 700
    [finding] = detect(_of_actions(reads + writes, reads, writes), Config())
    assert finding.entity == "ag_0"
    assert finding.description.startswith("100 requests of action_1 in ")
    assert [metric.action for metric in finding.metrics] == ["action_1"]


@pytest.mark.parametrize(("count", "found"), [(20, 0), (1500, 1)])
def test_a_new_action_is_held_against_all_that_its_agent_does(count: int, found: int) -> None:
    usual = build.office(29, level=40)
    new = np.zeros_like(usual)
    new[0, TEN] = count
    history = _of_actions(usual + new, new)
    first_time = np.array([build.START, build.START + HOUR * (24 * 29 + TEN)])
    assert len(detect(replace(history, first_time=first_time), Config())) == found


def test_a_day_of_many_hours_each_a_little_busy_is_a_spike_of_the_day() -> None:
    counts = np.random.default_rng(5).poisson(0.5, (1, 24 * 36))
    counts[0, -24:] += np.arange(24) % 2 + 1
    [finding] = detect(build.history(counts), Config())
    assert finding.evidence["resolution_seconds"] == DAY
    assert "in 1 day, 1" in finding.description


def test_a_day_that_is_busy_for_one_hot_hour_is_told_by_the_hour() -> None:
    counts = np.random.default_rng(5).poisson(2, (1, 24 * 36))
    counts[0, TEN] = 200
    [finding] = detect(build.history(counts), Config())
    assert finding.end - finding.start <= HOUR
    assert {interval.resolution_seconds for interval in finding.metrics[0].intervals} <= {60, 300, HOUR}


def test_a_lasting_change_is_one_anomaly_and_a_spike_on_the_new_level_another() -> None:
    counts = np.random.default_rng(6).poisson(40, (1, 24 * 40))
    counts[0, 24 * 30 + 5 :] *= 3
    counts[0, 24 * 36 + 5] = 600
    change, spike = detect(build.history(counts, judge_days=12), Config())
    assert (change.deviation, change.open) == (PATTERN_CHANGE, False)
    assert change.end - change.start <= 2 * DAY
    assert spike.start == build.START + HOUR * (24 * 36 + 5)
    assert spike.evidence["expected"] == pytest.approx(120, rel=0.3)


@pytest.mark.parametrize("changed", [24 * 35 + 14, 24 * 36 + 8, 24 * 38 + 16, 24 * 41 + 3])  # Monday to Sunday
def test_what_an_agent_of_office_hours_does_until_a_new_level_is_usual_is_one_change(changed: int) -> None:
    counts = build.office(44, level=60, dispersion=0.02, seed=3)
    counts[0, changed:] *= 3
    [change] = detect(build.history(counts, judge_days=12), Config())
    assert change.deviation == PATTERN_CHANGE
    assert not change.open


def test_what_settles_is_judged_alike_from_any_day_until_it_begins() -> None:
    counts = build.office(44, level=60, dispersion=0.02, seed=3)
    counts[0, 24 * 38 + 16 :] *= 3
    [change] = detect(build.history(counts, judge_days=12), Config())
    for days in (6, 8, 10):
        assert detect(build.history(counts, judge_days=days), Config()) == [change]


@pytest.mark.parametrize("budget", [0.01, 1.0, 100.0])
def test_a_larger_budget_of_false_alarms_finds_no_less(budget: float) -> None:
    counts = build.office(29, dispersion=0.2, n=30)
    counts[:, TEN] = np.linspace(60, 400, 30)
    found = [len(detect(build.history(counts), Config(false_alarms_per_day=each))) for each in (budget, 10 * budget)]
    assert found[0] <= found[1]


def _busy_week() -> History:
    """Twelve weeks with 8 requests each, then one with 5 a day."""
    counts = np.random.default_rng(7).poisson(0.05, (1, 24 * 7 * 13))
    counts[0, -24 * 7 :] = 0
    counts[0, -24 * 7 :: 5] = 1
    return build.history(counts)


def test_a_week_of_days_that_are_each_as_usual_is_a_spike_of_the_week() -> None:
    [finding] = detect(_busy_week(), Config())
    assert finding.evidence["resolution_seconds"] == 7 * DAY
    assert (finding.start, finding.end) == (build.START + 84 * DAY, build.START + 91 * DAY)
    assert finding.raised_at < finding.end
    assert "in 1 week, " in finding.description


def test_a_week_is_seen_alike_from_each_of_its_days() -> None:
    history = _busy_week()
    for days in (2, 5):
        earlier = replace(history, judge_from=history.judge_from - days * DAY)
        assert detect(earlier, Config()) == detect(history, Config())


def test_a_burst_on_monday_is_no_spike_of_its_week_from_whichever_day_it_is_seen() -> None:
    counts = np.random.default_rng(3).poisson(1.0, (1, 24 * (84 + 5)))
    counts[0, 84 * 24 + 2] += 600
    found = [detect(build.history(counts, judge_days=days), Config()) for days in (5, 4, 2, 1)]
    assert [[finding.evidence["resolution_seconds"] for finding in some] for some in found[:1]] == [[HOUR]]
    assert found[2:] == [[], []]
