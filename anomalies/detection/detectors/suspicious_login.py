"""Suspicious login: a user signs in as that user never did, or as nobody can."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy

from anomalies.detection import scoring, screening, travel, wording
from anomalies.detection.chart import BAND, Chart, judged_buckets
from anomalies.detection.detector import Detector
from anomalies.detection.finding import HIGH, LOW, Finding, Interval, metric, plain
from anomalies.detection.history import DAY, HOUR, History, Login
from anomalies.detection.login_profile import FAILED_LOGINS, FURTHER_NETWORKS, HISTORY_DAYS, LoginProfile
from anomalies.detection.parameter import parameter

VERSION = 1
QUIET_SECONDS = 2 * HOUR  # without a sign, that end a finding
MOST_SURPRISE = 6.0  # that novelty alone can give
SEEN_BY_RATE = 10  # requests in an hour from which the rate of failures is judged as such,
SEEN_SHARE = 0.3  # if they are that much of it

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

    @property
    def limits(self) -> travel.Limits:
        return travel.Limits(speed_kmh=self.max_speed_kmh, distance_km=self.min_distance_km)


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
    counts, judged = judged_buckets(history, width)
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
        lower=np.asarray(scipy.stats.poisson.ppf(1 - BAND, expected)).clip(min=0),
        upper=np.asarray(scipy.stats.poisson.ppf(BAND, expected)).clip(min=0),
    )


def _signs(history: History, row: int, config: Config) -> list[_Sign]:
    """Return all signs of one user, by the time of the login that shows them."""
    principal = history.entities[row]
    logins, past = history.logins[principal], history.pasts[principal]
    times = [login.time for login in logins]
    first, last = (bisect_left(times, time) for time in (history.judge_from[row], history.until))
    stay: travel.Stay | None = None
    signs: list[_Sign] = []
    days: dict[int, LoginProfile] = {}

    def known_at(login: Login) -> LoginProfile:
        day = int(login.time // DAY)
        if day not in days:
            days[day] = LoginProfile(past, day)
        return days[day]

    for index, login in enumerate(logins[:last]):
        before = stay
        if login.succeeded and login.place:
            stay = travel.stay(stay, login)
        if index < first:
            continue
        known = known_at(login)
        if not _is_warm(known, config):
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


def _is_warm(known: LoginProfile, config: Config) -> bool:
    """Return whether enough is known of the user to say what is unusual."""
    return known.day - known.past.first_day >= config.warm_up_days and known.logins >= config.warm_up_logins


def _is_return(
    login: Login, before: travel.Stay | None, known_at: Callable[[Login], LoginProfile], config: Config
) -> bool:
    """Return whether a user is where and with what they often are, after a stay that began with a suspicious login.

    The two are one incident, and it is the other login that people should look at.
    """
    if before is None or not _is_usual(login, known_at(login), config):
        return False
    known = known_at(before.first)
    if not _is_warm(known, config) or _is_usual(before.first, known, config):
        return False
    return any(True for _ in _location(before.first, before.elsewhere, known, config))


def _is_usual(login: Login, known: LoginProfile, config: Config) -> bool:
    """Return whether a user was at that place on an earlier day, and comes with no new device."""
    if login.place is None or (login.device and not known.knows(login.device, login.time)):
        return False
    earlier, _ = known.stays(login.place, config.limits.distance_km / 2)
    return len(earlier) > 0


def _location(login: Login, before: Login | None, known: LoginProfile, config: Config) -> Iterator[_Sign]:
    """Yield what is wrong with where a login comes from."""
    trip = known.trip(before, login, config.limits)
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


def _addresses(login: Login, lately: Sequence[Login], known: LoginProfile, config: Config) -> Iterator[_Sign]:
    """Yield a sign if a login is from one network more in an hour than the user's days explain."""
    networks = {one.network for one in lately if one.network}
    if len(networks) < config.min_networks:
        return
    p, mean, upper = FURTHER_NETWORKS.tail(len(networks) - 1, known.further_networks, config.alpha)
    yield from _counted(
        "addresses",
        login,
        [one for one in lately if one.network],
        (len(networks), mean + 1, upper + 1, p, "networks"),
        f"Signed in from {wording.plural(len(networks), 'network')} within an hour; "
        f"{wording.number(mean + 1)} are usual in the busiest hour of a day. The chance is {wording.chance(p)}.",
        config,
    )


def _failures(login: Login, failures: Sequence[Login], known: LoginProfile, config: Config) -> Iterator[_Sign]:
    """Yield a sign if so many logins failed in an hour as the user's days do not explain."""
    p, mean, upper = FAILED_LOGINS.tail(len(failures), known.failures_a_day, config.alpha)
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


def _seen_by_rate(history: History, row: int, time: float, failures: int) -> bool:
    """Return whether the failures are so much of the user's last hour that high_failure_rate judges them."""
    if not history.fives.start + HOUR <= time < history.fives.end:
        return False
    last = history.fives.index(time)
    requests = int(history.fives.requests[row, max(0, last - 12) : last + 1].sum())
    return requests >= SEEN_BY_RATE and failures >= SEEN_SHARE * requests


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
