"""Suspicious login: a user signs in as that user never did, or as nobody can."""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from anomalies.detection import scoring, screening, wording
from anomalies.detection.chart import BAND, Chart
from anomalies.detection.detector import Detector
from anomalies.detection.finding import HIGH, LOW, Finding, Interval, metric, plain
from anomalies.detection.history import DAY, HOUR, History, Login, Origin, Past
from anomalies.detection.parameter import parameter

VERSION = 1
EARTH_RADIUS_KM = 6371.0
QUIET_SECONDS = 2 * HOUR  # without a sign, that end a finding
HISTORY_DAYS = 30  # of logins that a login is held against
MOST_SURPRISE = 6.0  # that novelty alone can give
SHRINKAGE = 5.0  # weight of what is usual of all users, in days or squared counts, against the user's own days
SAME_DEGREES = 0.5  # of latitude and longitude: logins in a row are one stay; as in services/logins
BUSY_HOUR = 1 / 3  # of a day's networks may fall into one hour
SEEN_BY_RATE = 10  # requests in an hour from which the rate of failures is judged as such,
SEEN_SHARE = 0.3  # if they are that much of it

Place = tuple[float, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Usual:
    """What a day is like until the user's own days say more."""

    mean: float
    dispersion: float  # variance mean + dispersion * mean^2


FURTHER_NETWORKS = _Usual(mean=0.5, dispersion=0.5)  # beyond the first
# Who forgot a password fails several times at once. Eight failures of who never fails: 1 in 10^8.
FAILED_LOGINS = _Usual(mean=0.5, dispersion=2.0)

ENTITIES = {"travel": "location", "new_country": "location", "addresses": "ip", "failures": "user"}


@dataclass(frozen=True, slots=True)
class Config:
    max_speed_kmh: float = parameter(
        900.0,
        label="Speed of travel, at most",
        unit="km/h",
        low=100,
        high=5000,
        help="Faster between two logins, nobody travels",
    )
    min_distance_km: float = parameter(
        150.0,
        label="Distance, at least",
        unit="km",
        low=10,
        high=5000,
        help="Nearer places may be one: addresses are located no better",
    )
    max_rank: float = parameter(
        0.03,
        label="Share of logins as new, at most",
        unit="ratio",
        low=0.0001,
        high=1,
        help="A new country counts if no more than this share of the user's logins were as new",
    )
    common_share: float = parameter(
        0.5,
        label="Share of users that makes a country common",
        unit="ratio",
        low=0,
        high=1,
        help="A country that more users than this come from counts a level less",
    )
    min_networks: int = parameter(
        5,
        label="Networks in an hour, at least",
        unit="networks",
        low=2,
        high=1000,
        help="Least networks in an hour; /24, IPv6 /48",
    )
    min_failures: int = parameter(
        8,
        label="Failed logins in an hour, at least",
        unit="failures",
        low=2,
        high=1000,
        help="Least failed logins in an hour",
    )
    alpha: float = parameter(
        1e-4,
        label="Chance that is too small",
        unit="probability",
        low=1e-12,
        high=0.01,
        help="Chance of so many addresses or failures that is too small",
    )
    warm_up_days: float = parameter(
        7.0,
        label="Warm-up time",
        unit="days",
        low=0,
        high=60,
        help="Sooner after the first login, a user's logins are recorded, not raised",
    )
    warm_up_logins: int = parameter(
        20, label="Warm-up logins", unit="logins", low=0, high=10_000, help="With fewer in 30 days, the same"
    )


@dataclass(frozen=True, slots=True)
class _Sign:
    """One thing about one login that is suspicious, with what a person should know of it."""

    name: str  # travel, new_country, addresses or failures
    start: float  # of the logins that it is about
    time: float  # of the login that shows it
    level: int
    surprise: float
    figures: dict[str, Any]  # observed, expected, lower, upper, p, unit
    why: str
    logins: tuple[Login, ...]


@dataclass(frozen=True, slots=True)
class _Trip:
    """From the login before to this one, in km and km/h."""

    since: Login
    distance: float
    speed: float


@dataclass(frozen=True, slots=True)
class _Stay:
    """Logins in a row from one place."""

    elsewhere: Login | None  # the last one before
    first: Login
    last: Login


class _Known:
    """What a day's logins are held against: those of the 30 days before."""

    def __init__(self, past: Past, day: int) -> None:
        self.day = day
        self.past = past
        mine = [one for one in past.origins if day - HISTORY_DAYS <= one.day < day]
        self.succeeded = [one for one in mine if one.succeeded]
        self.failed = [one for one in mine if not one.succeeded]
        self.logins = sum(one.logins for one in self.succeeded)
        self.days = min(day - past.first_day, HISTORY_DAYS)
        self._stays: dict[Place, tuple[Floats, Floats]] = {}

    def is_warm(self, config: Config) -> bool:
        """Return whether enough is known of the user to say what is unusual."""
        return self.day - self.past.first_day >= config.warm_up_days and self.logins >= config.warm_up_logins

    @cached_property
    def _devices(self) -> dict[str, float]:
        """Since when each device is known, of those used in 30 days or today."""
        known: dict[str, float] = {}
        for one in self.past.origins:
            if one.succeeded and self.day - HISTORY_DAYS <= one.day <= self.day:
                known[one.device] = min(one.first_time, known.get(one.device, math.inf))
        return known

    def knows(self, device: str, time: float) -> bool:
        return self._devices.get(device, math.inf) < time

    @cached_property
    def _located(self) -> tuple[Floats, Floats]:
        """Of located origins of 30 days and today: places in degrees, (n, 2); first and last times and days, (n, 3)."""
        located = [
            (*one.place, one.first_time, one.last_time, one.day)
            for one in self.past.origins
            if one.succeeded and one.place and self.day - HISTORY_DAYS <= one.day <= self.day
        ]
        table = np.array(located, dtype=np.float64).reshape(-1, 5)
        return table[:, :2], table[:, 2:]

    def stays(self, place: Place, within_km: float) -> tuple[Floats, Floats]:
        """Return first and last times of the days at a place before today, and first times of today, each sorted.

        Today's last are left out: what comes later must not change what is said of now.
        """
        if place not in self._stays:
            places, times = self._located
            times = times[_distances(place, places) <= within_km]
            today = times[:, 2] == self.day
            self._stays[place] = np.sort(times[~today, :2], axis=None), np.sort(times[today, 0])
        return self._stays[place]

    @cached_property
    def _counts(self) -> tuple[Counter[tuple[Any, ...]], Counter[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
        """Logins of each value within what it lies in, the same by day, and distinct values."""
        total: Counter[tuple[Any, ...]] = Counter()
        by_day: Counter[tuple[Any, ...]] = Counter()
        distinct: Counter[tuple[Any, ...]] = Counter()
        for one in self.succeeded:
            for within, value in _values(one):
                distinct[within] += (within, value) not in total
                total[within, value] += one.logins
                total[within] += one.logins
                by_day[one.day, within, value] += one.logins
        return total, by_day, distinct

    def rarity(self, login: Login | Origin, *, but_day: int | None = None) -> float:
        """Return the smoothed log-rarity of where a login comes from, as if there were no logins on `but_day`.

        A value seen c times in n logins has (c + 0.5)/(n + 1); one never seen, as probable as new ones were so far.
        """
        total, by_day, distinct = self._counts
        rarity = 0.0
        for within, value in _values(login):
            n = total[within]
            count = total[within, value] - (by_day[but_day, within, value] if but_day is not None else 0)
            if n:
                seen = count if count > 0 else max(distinct[within] - 1, 0)
                rarity -= math.log10(min((seen + 0.5) / (n + 1), 1.0))
        return rarity

    @cached_property
    def _ranked(self) -> tuple[Floats, NDArray[np.int64]]:
        """The rarities of the user's logins when they were, ascending, and how many are at least as rare."""
        rarities = np.array([self.rarity(one, but_day=one.day) for one in self.succeeded])
        order = np.argsort(rarities, kind="stable")
        counts = np.array([one.logins for one in self.succeeded], dtype=np.int64)[order]
        return rarities[order], np.append(np.cumsum(counts[::-1])[::-1], 0)

    def rank(self, login: Login) -> float:
        """Return the share of the user's logins that were at least as rare when they were, with half a login more."""
        rarities, at_least = self._ranked
        as_rare = int(at_least[np.searchsorted(rarities, self.rarity(login) - 1e-9)])
        return (as_rare + 0.5) / (self.logins + 1)

    @cached_property
    def further_networks(self) -> list[float]:
        """How many networks beyond the first an hour of each day with logins can have had.

        Those of its busiest hour as far as that is known; but a good part of the day's at least.
        """
        spans: dict[int, dict[str, tuple[float, float]]] = defaultdict(dict)
        for one in self.succeeded:
            first, last = spans[one.day].get(one.network, (one.first_time, one.last_time))
            spans[one.day][one.network] = min(first, one.first_time), max(last, one.last_time)
        busiest = []
        for of_day in spans.values():
            firsts = np.array([first for first, _ in of_day.values()])
            lasts = np.array([last for _, last in of_day.values()])
            # The hour that ends with each first login: a network that was used before and after counts as used.
            within = (firsts[None, :] <= firsts[:, None]) & (lasts[None, :] > firsts[:, None] - HOUR)
            busiest.append(max(float(within.sum(axis=1).max() - 1), (len(firsts) - 1) * BUSY_HOUR))
        return busiest

    @cached_property
    def failures_a_day(self) -> list[int]:
        """How many logins failed on each day, those without any among them."""
        failed: dict[int, int] = defaultdict(int)
        for one in self.failed:
            failed[one.day] += one.logins
        return [failed[day] for day in range(self.day - self.days, self.day)]


def detect(history: History, config: Config) -> list[Finding]:
    """Return one finding for each run of suspicious logins of a user, with gaps under two hours.

    - travel: two successful logins in a row, further apart than `min_distance_km` (haversine) and faster than
      `max_speed_kmh`, between places not seen together before (an office and its VPN). A return to the usual place and
      device, from a login that was suspicious itself, is not told again.
    - new country: a success from a country never seen for the user, if it is among the rarest `max_rank` of the user's
      logins of 30 days by the smoothed log-rarity of country, network in it, address in that, and device.
    - addresses: k networks of successes within an hour, `p = nbinom.sf(k - 2, ...)` of the user's busiest hours.
    - failures: k failed logins within an hour, `p = nbinom.sf(k - 1, ...)` of the user's days. Where they are a good
      part of all that is done for the user, high_failure_rate tells.

    Severity: travel is medium, low from a known device; a new country is low, medium from a new device, and a level
    higher with travel; a level less if it is common among users, or the speed less than twice what is possible.
    Addresses and failures are as improbable. Two of location, addresses and failures are a level higher than one.

    Source: Freeman et al. (2016), NDSS, for rarity; Sinnott (1984) for the haversine.
    """
    rows = {entity: row for row, entity in enumerate(history.entities) if row in history.totals}
    found = []
    for principal in sorted(history.pasts.keys() & history.logins.keys()):
        row = rows[principal]
        signs = _signs(history, row, config)
        runs: list[list[_Sign]] = []
        for sign in signs:
            if runs and sign.time - runs[-1][-1].time < QUIET_SECONDS:
                runs[-1].append(sign)
            else:
                runs.append([sign])
        found += [_finding(history, row, run, config) for run in runs]
    return found


def chart(history: History, _: Config, width: int) -> Chart:
    """Return the logins of the only entity of a history with as many as its past lets expect, failed ones too."""
    counts = history.hours if width == history.hours.width else history.fives
    judged = np.flatnonzero((counts.starts >= history.judge_from[0] // DAY * DAY) & (counts.starts < history.until))
    starts = counts.starts[judged]
    entity = history.entities[0]
    times = [login.time for login in history.logins.get(entity, ())]
    observed = np.zeros(len(starts), dtype=np.int32)
    expected = np.zeros(len(starts))
    if len(starts):
        slots = np.floor((np.asarray(times) - starts[0]) / width).astype(np.intp)
        np.add.at(observed, slots[(slots >= 0) & (slots < len(starts))], 1)
    if entity in history.pasts:
        past = history.pasts[entity]
        for day in np.unique(starts // DAY).astype(int).tolist():
            known = [one for one in past.origins if day - HISTORY_DAYS <= one.day < day]
            days = max(1, min(day - past.first_day, HISTORY_DAYS))
            expected[starts // DAY == day] = sum(one.logins for one in known) / days * width / DAY
    return Chart(
        unit="logins",
        width=counts.width,
        starts=starts,
        observed=observed,
        expected=expected,
        lower=np.asarray(stats.poisson.ppf(1 - BAND, expected)).clip(min=0),
        upper=np.asarray(stats.poisson.ppf(BAND, expected)).clip(min=0),
    )


def _signs(history: History, row: int, config: Config) -> list[_Sign]:
    """Return all signs of one user, by the time of the login that shows them."""
    principal = history.entities[row]
    logins, past = history.logins[principal], history.pasts[principal]
    times = [login.time for login in logins]
    first, last = (bisect_left(times, time) for time in (history.judge_from[row], history.until))
    stay: _Stay | None = None
    signs: list[_Sign] = []
    days: dict[int, _Known] = {}

    def known_at(login: Login) -> _Known:
        day = int(login.time // DAY)
        if day not in days:
            days[day] = _Known(past, day)
        return days[day]

    for index, login in enumerate(logins[:last]):
        before = stay
        if login.succeeded and login.place:
            stay = _stay(stay, login)
        if index < first:
            continue
        known = known_at(login)
        if not known.is_warm(config):
            continue
        lately = logins[bisect_left(times, login.time - HOUR + 1e-6) : index + 1]
        if login.succeeded:
            if not _is_return(login, before, known_at, config):
                signs += _location(login, before.last if before else None, known, config)
            signs += _addresses(login, [one for one in lately if one.succeeded], known, config)
        else:
            failures = [one for one in lately if not one.succeeded]
            if len(failures) >= config.min_failures and not _seen_by_rate(history, row, login.time, len(failures)):
                signs += _failures(login, failures, known, config)
    return signs


def _stay(before: _Stay | None, login: Login) -> _Stay:
    """Return the stay that a located login begins or goes on with."""
    if before is None:
        return _Stay(None, login, login)
    if _same_place(before.first, login):
        return _Stay(before.elsewhere, before.first, login)
    return _Stay(before.last, login, login)


def _same_place(one: Login, other: Login) -> bool:
    """Return whether two located logins are less than half a degree apart either way."""
    assert one.place is not None
    assert other.place is not None
    return all(abs(a - b) <= SAME_DEGREES for a, b in zip(one.place, other.place, strict=True))


def _is_return(login: Login, before: _Stay | None, known_at: Callable[[Login], _Known], config: Config) -> bool:
    """Return whether a user is where and with what they often are, after a stay that began with a suspicious login.

    The two are one incident, and it is the other login that people should look at.
    """
    if before is None or not _is_usual(login, known_at(login), config):
        return False
    known = known_at(before.first)
    if not known.is_warm(config) or _is_usual(before.first, known, config):
        return False
    return any(True for _ in _location(before.first, before.elsewhere, known, config))


def _is_usual(login: Login, known: _Known, config: Config) -> bool:
    """Return whether a user was at that place on an earlier day, and comes with no new device."""
    if login.place is None or (login.device and not known.knows(login.device, login.time)):
        return False
    earlier, _ = known.stays(login.place, config.min_distance_km / 2)
    return len(earlier) > 0


def _location(login: Login, before: Login | None, known: _Known, config: Config) -> Iterator[_Sign]:
    """Yield what is wrong with where a login comes from."""
    trip = _trip(before, login, known, config)
    travelled = trip is not None
    first = known.past.countries.get(login.country, math.inf) >= login.time and bool(login.country)
    rank = known.rank(login) if travelled or first else 1.0
    first = first and rank <= config.max_rank
    if not travelled and not first:
        return
    device_known = bool(login.device) and known.knows(login.device, login.time)
    device_new = bool(login.device) and not device_known
    common = known.past.common.get((login.country, known.day), 0.0) > config.common_share
    surprise = min(-math.log10(rank), MOST_SURPRISE)
    level = LOW + (travelled and not device_known) + (first and device_new)
    level -= bool(first and not travelled and common)
    level -= bool(trip and trip.speed < 2 * config.max_speed_kmh)
    if level < LOW:
        return  # kept as evidence only
    device = ", from a known device" if device_known else ", from a device never seen" if device_new else ""
    if trip:
        yield _Sign(
            name="travel",
            start=login.time,
            time=login.time,
            level=level,
            surprise=max(surprise, min(MOST_SURPRISE, 4 + math.log10(trip.speed / config.max_speed_kmh))),
            figures={
                "observed": trip.speed,
                "expected": 0.0,
                "lower": 0.0,
                "upper": config.max_speed_kmh,
                "p": rank,
                "unit": "km/h",
                "distance_km": trip.distance,
                "seconds": login.time - trip.since.time,
                "from": _where(trip.since),
                "from_time": trip.since.time,
                "to": _where(login),
                "rank": rank,
                "device_known": device_known,
            },
            why=f"Signed in from {_where(trip.since)} and {_after(login.time - trip.since.time)} from {_where(login)}, "
            f"{wording.number(trip.distance)} km away{device}: faster than {wording.number(config.max_speed_kmh)} "
            "km/h, and the two places were not used together before.",
            logins=(trip.since, login),
        )
    if first:
        yield _Sign(
            name="new_country",
            start=login.time,
            time=login.time,
            level=level,
            surprise=surprise,
            figures={
                "observed": 1,
                "expected": rank,
                "lower": 0,
                "upper": 0,
                "p": rank,
                "unit": "new countries",
                "country": login.country,
                "rank": rank,
                "rarity": known.rarity(login),
                "device_known": device_known,
                "users_share": known.past.common.get((login.country, known.day), 0.0),
            },
            why=f"Signed in from {login.country} for the first time{device}; "
            f"of {wording.plural(known.logins, 'login')} in {wording.plural(known.days, 'day')}, "
            f"{wording.percent(rank)} at most were as new." + (" Most users come from there." if common else ""),
            logins=(login,),
        )


def _addresses(login: Login, lately: Sequence[Login], known: _Known, config: Config) -> Iterator[_Sign]:
    """Yield a sign if a login is from one network more in an hour than the user's days explain."""
    networks = {one.network for one in lately if one.network}
    if len(networks) < config.min_networks:
        return
    usual = known.further_networks
    p, mean, upper = _tail(len(networks) - 1, usual, FURTHER_NETWORKS, config.alpha)
    yield from _counted(
        "addresses",
        login,
        [one for one in lately if one.network],
        (len(networks), mean + 1, upper + 1, p, "networks"),
        f"Signed in from {wording.plural(len(networks), 'network')} within an hour; "
        f"{wording.number(mean + 1)} are usual in the busiest hour of a day. The chance is {wording.chance(p)}.",
        config,
    )


def _failures(login: Login, failures: Sequence[Login], known: _Known, config: Config) -> Iterator[_Sign]:
    """Yield a sign if so many logins failed in an hour as the user's days do not explain."""
    p, mean, upper = _tail(len(failures), known.failures_a_day, FAILED_LOGINS, config.alpha)
    yield from _counted(
        "failures",
        login,
        failures,
        (len(failures), mean, upper, p, "failed logins"),
        f"{wording.plural(len(failures), 'login')} failed within an hour; {wording.number(mean)} a day are usual. "
        f"The chance is {wording.chance(p)}.",
        config,
    )


def _counted(
    name: str,
    login: Login,
    logins: Sequence[Login],
    figures: tuple[int, float, float, float, str],
    why: str,
    config: Config,
) -> Iterator[_Sign]:
    k, mean, upper, p, unit = figures
    if p >= config.alpha:
        return
    level = scoring.severity(scoring.surprise(p))
    if k < 2 * mean or k - mean < 5:
        level = max(LOW, level - 1)
    yield _Sign(
        name=name,
        start=logins[0].time,
        time=login.time,
        level=level,
        surprise=scoring.surprise(p),
        figures={"observed": k, "expected": mean, "lower": 0, "upper": upper, "p": p, "unit": unit},
        why=why,
        logins=tuple(logins),
    )


def _tail(k: int, by_day: Sequence[float], usual: _Usual, alpha: float) -> tuple[float, float, float]:
    """Return the chance of k or more in a day by the days before, their mean, and the most that is usual.

    Negative binomial: over-dispersed by moments, shrunk, and wider the fewer days are known.
    """
    days = len(by_day)
    mean = (sum(by_day) + SHRINKAGE * usual.mean) / (days + SHRINKAGE)
    excess = sum((count - mean) ** 2 - mean for count in by_day)
    dispersion = (max(excess, 0.0) + SHRINKAGE * usual.dispersion) / (days * mean**2 + SHRINKAGE)
    shape = 1 / (dispersion + 1 / (days + SHRINKAGE))
    p = shape / (shape + mean)
    return float(stats.nbinom.sf(k - 1, shape, p)), mean, float(stats.nbinom.isf(alpha, shape, p))


def _seen_by_rate(history: History, row: int, time: float, failures: int) -> bool:
    """Return whether the failures are so much of the user's last hour that high_failure_rate judges them."""
    if not history.fives.start + HOUR <= time < history.fives.end:
        return False
    last = history.fives.index(time)
    requests = int(history.fives.requests[row, max(0, last - 12) : last + 1].sum())
    return requests >= SEEN_BY_RATE and failures >= SEEN_SHARE * requests


def _values(one: Login | Origin) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Each value of where a login comes from, after what it lies in."""
    return (
        (("country",), one.country),
        (("network", one.country), one.network),
        (("address", one.network), one.ip),
        (("device",), one.device),
    )


def _trip(before: Login | None, login: Login, known: _Known, config: Config) -> _Trip | None:
    """Return what lies between two logins if nobody travels so, and the places were not seen together before."""
    if before is None or before.place is None or login.place is None:
        return None
    seconds = login.time - before.time
    speed = _impossible(before.place, login.place, seconds, config)
    if speed is None or _together(before.place, login.place, before.time, known, config):
        return None
    return _Trip(before, _distance(before.place, login.place), speed)


def _impossible(one: Place, other: Place, seconds: float, config: Config) -> float | None:
    distance = _distance(one, other)
    if distance <= config.min_distance_km:
        return None
    speed = distance / max(seconds, 1.0) * HOUR
    return speed if speed > config.max_speed_kmh else None


def _together(one: Place, other: Place, time: float, known: _Known, config: Config) -> bool:
    """Return whether both places were used before that time, and sooner after each other than anybody travels."""
    here, there = (np.concatenate(known.stays(place, config.min_distance_km / 2)) for place in (one, other))
    here, there = np.sort(here[here < time]), np.sort(there[there < time])
    if not len(here) or not len(there):
        return False
    after = np.searchsorted(there, here)
    gaps = np.minimum(
        np.abs(there[np.minimum(after, len(there) - 1)] - here), np.abs(here - there[np.maximum(after - 1, 0)])
    )
    return _impossible(one, other, float(gaps.min()), config) is not None


def _distance(one: Place, other: Place) -> float:
    return float(_distances(one, np.array([other]))[0])


def _distances(one: Place, others: Floats) -> Floats:
    """Return the great-circle distances in km to places in degrees, (n, 2)."""
    (lat1, lon1), (lat2, lon2) = np.radians(one), np.radians(others).T
    h = np.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(h, 1.0))))


def _where(login: Login) -> str:
    named = ", ".join(filter(None, (login.city, login.country)))
    return named or (f"{login.place[0]:.1f}, {login.place[1]:.1f}" if login.place else login.ip)


def _after(seconds: float) -> str:
    return "in the same second" if seconds < 1 else f"{wording.span(seconds)} later"


def _finding(history: History, row: int, run: list[_Sign], config: Config) -> Finding:
    principal = history.entities[row]
    past = history.pasts[principal]
    # Of each sign the login that shows it best.
    best: dict[str, _Sign] = {}
    for sign in run:
        if sign.name not in best or (sign.level, sign.surprise) > (best[sign.name].level, best[sign.name].surprise):
            best[sign.name] = sign
    signs = sorted(best.values(), key=lambda sign: (-sign.level, -sign.surprise, list(ENTITIES).index(sign.name)))
    main = signs[0]
    level = main.level + (len({ENTITIES[sign.name] for sign in signs}) > 1)
    severity = int(np.clip(level, LOW, HIGH))
    start, end = min(sign.start for sign in run), run[-1].time + 1.0
    is_open = history.until < end + QUIET_SECONDS
    score = max(scoring.score(main.surprise), scoring.floor_score(severity))
    logins = list(dict.fromkeys(login for sign in run for login in sign.logins))
    figures = {name: main.figures[name] for name in ("observed", "expected", "lower", "upper", "p", "unit")}
    evidence = plain(
        {
            **figures,
            "resolution_seconds": HOUR,
            "start": start,
            "end": end,
            "event_count": len(logins),
            "entity": ENTITIES[main.name],
            "signs": [{"sign": sign.name, "time": sign.time, **sign.figures} for sign in signs],
            "countries": _distinct(login.country for login in logins),
            "addresses": _distinct(login.ip for login in logins),
            "networks": _distinct(login.network for login in logins),
            "devices": _distinct(login.device for login in logins),
            "places": _distinct(_where(login) for login in logins if login.place or login.city),
            "history_days": min(HISTORY_DAYS, max(0, int(main.time // DAY) - past.first_day)),
            "parameters": asdict(config),
            "detector_version": VERSION,
            "why": " ".join(sign.why for sign in signs),
        }
    )
    interval = Interval(
        resolution_seconds=HOUR,
        start=start,
        end=end,
        open=is_open,
        peak=float(figures["observed"]),
        expected=float(figures["expected"]),
        upper=float(figures["upper"]),
        score=score,
    )
    return Finding(
        type=DETECTOR.type,
        kind=history.kind,
        entity=principal,
        start=start,
        end=end,
        open=is_open,
        metrics=(metric(DETECTOR.counts, history.kind, principal, (interval,), score=score, evidence=evidence),),
        raised_at=run[0].time,
        score=score,
        severity=severity,
        description=_description(signs),
        evidence=evidence,
    )


def _description(signs: Sequence[_Sign]) -> str:
    """`First login from VN, 9,300 km from Madrid, ES 20 minutes before`, `Logins from 9 networks in an hour, ...`."""
    said = []
    names = {sign.name: sign for sign in signs}
    for sign in signs:
        figures = sign.figures
        if sign.name == "new_country" and not ("travel" in names and names["travel"].time == sign.time):
            said.append(f"first login from {figures['country']}")
        elif sign.name == "travel":
            arrived = names["new_country"].time if "new_country" in names else None
            new = "first login" if arrived == sign.time else "login"
            said.append(
                f"{new} from {figures['to']}, {wording.number(figures['distance_km'])} km from {figures['from']}, "
                f"{_after(figures['seconds'])}"
            )
        elif sign.name == "addresses":
            said.append(
                f"logins from {figures['observed']:,} networks in an hour, {wording.number(figures['expected'])} usual"
            )
        elif sign.name == "failures":
            said.append(
                f"{figures['observed']:,} failed logins in an hour, {wording.number(figures['expected'])} a day usual"
            )
    text = "; ".join(said)
    return text[:1].upper() + text[1:]


def _distinct(values: Iterator[str] | Any) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))[:100]


DETECTOR = Detector(
    type="suspicious_login",
    label="Suspicious login",
    meaning="A user signs in from where that user never was, from two places nobody can be at, from many addresses at "
    "once, or fails to far more often than usual.",
    risk="Account Compromise",
    entity="location",
    may_indicate=(
        "Stolen credentials or a stolen session in use by somebody else.",
        "Somebody guessing the user's password slowly enough to stay below the limits.",
        "One account shared by several people.",
        "A business trip, a new VPN or a new phone.",
    ),
    recommended_actions=(
        "Ask the user, by a channel other than the account, whether the login was theirs.",
        "If not, or if nobody answers: end all sessions, reset the credentials and check the second factor.",
        "Look at what the account did since: new grants, forwarding rules, downloads, further users.",
        "If it is expected, acknowledge it: the place counts as known from its first day on.",
    ),
    version=VERSION,
    counts="suspicious_logins",
    config=Config,
    detect=detect,
    chart=chart,
    screen=screening.after_logins,
)
