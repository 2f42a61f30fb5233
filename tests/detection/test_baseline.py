"""detection/baseline: what counts to expect."""

from dataclasses import replace

import numpy as np
import pytest

from anomalies.detection import baseline
from anomalies.detection.band import Band
from anomalies.detection.history import DAY, History, Peers
from anomalies.detection.prior import PRIOR, YOUNG_DAYS, of_group
from tests.detection import build


def _bands(history: History) -> baseline.Bands:
    return baseline.of_days(history, prior=PRIOR, young_days=YOUNG_DAYS, fit_days=baseline.FIT_DAYS, quiet_days=True)


def _hours(history: History) -> Band:
    return _bands(history).hours(np.arange(len(history.entities)))


def test_the_mean_follows_hour_and_weekday() -> None:
    counts = build.office(29, level=40, dispersion=0, n=50)  # day 29 is a Monday
    mean = _hours(build.history(counts)).mean
    assert mean[:, 10].mean() == pytest.approx(40, rel=0.1)
    assert mean[:, 2].mean() == pytest.approx(2, rel=0.25)


def test_five_minutes_have_a_twelfth_of_their_hour() -> None:
    bands, row = _bands(build.history(build.office(29))), np.arange(1)
    assert bands.fine(300, row).mean.reshape(1, 24, 12).sum(axis=2) == pytest.approx(bands.hours(row).mean)


@pytest.mark.parametrize(("dispersion", "nominal", "most"), [(0.0, 1e-3, 2e-3), (0.3, 1e-3, 2.5e-3)])
def test_tail_probabilities_are_calibrated(dispersion: float, nominal: float, most: float) -> None:
    history = build.history(build.office(56, dispersion=dispersion, n=200, seed=3), judge_days=14)
    tails = _hours(history).tail(history.hours.requests[:, -14 * 24 :])
    assert (tails < nominal).mean() <= most


@pytest.mark.parametrize("days_before", [0, 100])  # of others, that its own are loaded with
def test_after_the_first_weekend_monday_is_expected_to_be_as_busy_as_friday(days_before: int) -> None:
    weeks = build.office(8, level=40, n=20)
    lived = np.where(np.arange(24 * 8) % 24 // 8 == 1, weeks, 0)[:, 24 * 3 :]  # from Thursday on, at work alone
    counts = np.pad(lived, ((0, 0), (24 * days_before, 0)))
    history = build.history(counts, first_time=build.START + DAY * days_before)
    week = np.broadcast_to((np.arange(counts.shape[1]) + 24 * (3 - days_before)) % 168, counts.shape).astype(np.int16)
    calendar = replace(history.calendar, hour_of_week=week, free=week // 24 >= 5)
    mean = _hours(replace(history, calendar=calendar)).mean[:, 9:15]
    assert mean.min() > 20
    assert mean.mean() == pytest.approx(40, rel=0.2)


def test_an_attack_yesterday_is_not_the_normal_of_today() -> None:
    counts = build.office(29)
    attacked = counts.copy()
    attacked[0, -48 + 10 : -48 + 13] = 800
    usual, after = (_hours(build.history(c)).mean[0, 10] for c in (counts, attacked))
    assert after < 1.5 * usual


def test_a_level_that_moved_is_followed_within_days() -> None:
    counts = build.office(29)
    counts[0, -5 * 24 :] *= 2
    before, after = (_hours(build.history(c)).mean[0, 10] for c in (build.office(29), counts))
    assert after > 1.3 * before


def test_the_young_are_judged_by_the_prior_and_no_surer_than_it() -> None:
    counts = np.zeros((2, 24), dtype=int)
    counts[0, :10], counts[1, :10] = 60, 900
    band = _hours(build.history(counts))
    assert band.mean[:, 10].tolist() == [PRIOR.events_per_hour, 900]
    assert band.variance[:, 10] == pytest.approx(band.mean[:, 10] ** 2 / PRIOR.shape, rel=0.3)


def test_few_events_at_once_of_a_rare_entity_are_one_session() -> None:
    counts = np.zeros((1, 24 * 30), dtype=int)
    counts[0, 5::170] = 1
    counts[0, -12] = 6
    history = build.history(counts)
    assert _hours(history).tail(history.hours.requests[:, -24:]).min() > 1e-5


def test_what_comes_later_changes_nothing() -> None:
    counts = build.office(30, n=3)
    later = counts.copy()
    later[:, -24:] *= 7
    first, second = (_hours(build.history(c, judge_days=2)).mean[:, :24] for c in (counts, later))
    assert np.array_equal(first, second)


def test_a_day_has_the_same_band_however_many_are_judged_with_it() -> None:
    counts = build.office(40, n=3, dispersion=0.2)
    alone, with_others = (_bands(build.history(counts, judge_days=days)) for days in (1, 12))
    rows = np.arange(3)
    for width in (60, 300):
        a_day = DAY // width
        assert with_others.fine(width, rows).variance[:, -a_day:] == pytest.approx(
            alone.fine(width, rows).variance[:, -a_day:], rel=1e-9
        )


def test_no_day_to_judge_raises() -> None:
    with pytest.raises(ValueError, match="no day"):
        _bands(build.history(build.office(1), until=build.START - DAY))


def _group(members: int, *, days: int = 30, level: float = 2000.0) -> Peers:
    counts = np.random.default_rng(4).poisson(level, (members, 24 * days)).astype(np.int32)
    return Peers("importers", build.START, counts, np.full(members, build.START))


def test_a_group_draws_the_prior_the_further_the_more_members_and_hours_it_has() -> None:
    day = build.START + 30 * DAY
    none, one, ten = (of_group(_group(members), day, PRIOR) for members in (0, 1, 10))
    assert none == PRIOR
    assert PRIOR.events_per_hour < one.events_per_hour < ten.events_per_hour < 2000
    assert PRIOR.shape < one.shape < ten.shape
    new = of_group(_group(10), build.START + 3 * DAY, PRIOR)
    assert PRIOR.events_per_hour < new.events_per_hour < ten.events_per_hour


def test_an_attack_by_one_member_does_not_change_what_its_group_expects() -> None:
    usual, attacked = _group(10), _group(10)
    attacked.requests[3, 100:105] = 1_000_000
    day = build.START + 30 * DAY
    before, after = (of_group(group, day, PRIOR) for group in (usual, attacked))
    assert after.events_per_hour == pytest.approx(before.events_per_hour, rel=0.01)
    assert after.shape == pytest.approx(before.shape, rel=0.05)
