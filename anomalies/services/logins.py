"""From rows to logins: those that are to be judged, and what they are held against."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection

from anomalies.detection.history import Login, Origin, Past
from anomalies.detection.lateness import SETTLED_DAYS
from anomalies.detection.travel import SAME_DEGREES
from anomalies.services.sightings import DEVICE

PAST_DAYS = 33  # before the day that is judged: 30, and the flights before
LOOK_BACK = timedelta(hours=1)  # in which addresses and failures are counted
LONGEST_FLIGHTS = timedelta(hours=46)  # twice half around the earth, 20,015 km, at 900 km/h

EPOCH = date(1970, 1, 1)

_NETWORK = "host(network(set_masklen({ip}, CASE family({ip}) WHEN 4 THEN 24 ELSE 48 END)))"

# Of principals that logged in since they were last looked at; who these are is settled first, once for each.
_ORIGINS = f"""
WITH judged AS MATERIALIZED (
    SELECT principal, (since AT TIME ZONE 'UTC')::date AS day
    FROM unnest(%(principals)s::text[], %(since)s::timestamptz[]) AS due (principal, since)
    WHERE EXISTS (
        SELECT FROM anomalies_sighting n
        WHERE n.principal_id = principal AND n.day >= (since AT TIME ZONE 'UTC')::date
          AND n.last_seen >= since AND n.first_seen < %(until)s)
)
SELECT s.principal_id, s.day, extract(epoch FROM s.first_seen)::float8, extract(epoch FROM s.last_seen)::float8,
       s.logins, s.succeeded, coalesce(host(s.ip), ''), coalesce({_NETWORK.format(ip="s.ip")}, ''), s.country,
       s.latitude, s.longitude, s.device, s.action
FROM judged JOIN anomalies_sighting s ON s.principal_id = judged.principal AND s.day >= judged.day - %(past)s
WHERE s.first_seen < %(until)s
ORDER BY s.principal_id, s.first_seen, s.id
"""  # noqa: S608  of constants

_EVENT = f"""
SELECT judged.principal, extract(epoch FROM e.time)::float8, e.status = 'success', coalesce(host(e.ip), ''),
       coalesce({_NETWORK.format(ip="e.ip")}, ''), e.country, e.city, e.latitude, e.longitude,
       {DEVICE.format(user_agent="e.user_agent")}
FROM unnest(%(principals)s::text[], %(since)s::timestamptz[]) AS judged (principal, since)
"""  # noqa: S608  of constants

# The bounds that are the same for all rows let the planner leave out the partitions of other days: it cannot do so by
# those of each row.
_LOGINS = f"""
{_EVENT}
JOIN anomalies_event e ON e.principal_id = judged.principal
    AND e.time >= judged.since - %(look_back)s AND e.time >= %(counted)s AND e.time < %(until)s
WHERE e.action = ANY(%(actions)s)
"""

_LOCATED = """
SELECT * FROM anomalies_event
WHERE principal_id = judged.principal AND action = ANY(%(actions)s) AND status = 'success'
  AND latitude IS NOT NULL AND longitude IS NOT NULL AND time >= judged.since - %(flights)s
  AND time >= %(took_off)s AND time < %(landed)s
"""

# The last login before, the last one elsewhere before that, and the first of the stay between them (`travel`).
_LOCATED_BEFORE = f"""
{_EVENT}
CROSS JOIN LATERAL (
    {_LOCATED} AND time < judged.since - %(look_back)s
    ORDER BY time DESC, host(ip) DESC, latitude DESC, longitude DESC, external_id DESC LIMIT 1
) AS last
LEFT JOIN LATERAL (
    {_LOCATED} AND time < last.time
      AND (abs(latitude - last.latitude) > {SAME_DEGREES} OR abs(longitude - last.longitude) > {SAME_DEGREES})
    ORDER BY time DESC, host(ip) DESC, latitude DESC, longitude DESC, external_id DESC LIMIT 1
) AS elsewhere ON true
LEFT JOIN LATERAL (
    {_LOCATED} AND time > coalesce(elsewhere.time, '-infinity') AND time < last.time
    ORDER BY time, host(ip), latitude, longitude, external_id LIMIT 1
) AS first ON true
CROSS JOIN LATERAL (
    SELECT (last).* UNION ALL SELECT (elsewhere).* UNION ALL SELECT (first).*
) AS e
WHERE e.time IS NOT NULL
"""

_FIRST_DAYS = """
SELECT principal, (
    SELECT min(day) FROM anomalies_sighting s WHERE s.principal_id = principal AND s.succeeded)
FROM unnest(%s::text[]) AS principal
"""

_COUNTRIES = """
SELECT principal, country, (
    SELECT extract(epoch FROM min(s.first_seen))::float8 FROM anomalies_sighting s
    WHERE s.principal_id = principal AND s.country = used.country AND s.succeeded)
FROM unnest(%s::text[], %s::text[]) AS used (principal, country)
"""

# Of others only what is settled: a late login of theirs must not change what is said of this one.
_USERS_OF_COUNTRIES = """
SELECT country, count(DISTINCT principal_id) FROM anomalies_sighting
WHERE succeeded AND day >= %(day)s::date - %(past)s AND day <= %(day)s::date - %(settled)s
GROUP BY ROLLUP (country)
"""


def facts(judged: Mapping[str, datetime], *, until: datetime) -> tuple[dict[str, list[Login]], dict[str, Past]]:
    """Return the logins of principals by time, and what was before, of each that logged in since it is judged.

    `judged` is from when each principal is; the logins begin an hour before, with where the user was before.
    """
    principals = list(judged)
    parameters: dict[str, Any] = {
        "principals": principals,
        "since": [judged[principal] for principal in principals],
        "until": until,
        "past": PAST_DAYS,
        "look_back": LOOK_BACK,
        "flights": LONGEST_FLIGHTS,
    }
    origins, actions = _origins(parameters)
    if not origins:
        return {}, {}
    since = [judged[principal] for principal in origins]
    parameters |= {
        "principals": list(origins),
        "since": since,
        "actions": sorted(actions),
        "counted": min(since) - LOOK_BACK,
        "took_off": min(since) - LONGEST_FLIGHTS,
        "landed": max(since) - LOOK_BACK,
    }
    logins = _logins(parameters)
    return logins, _pasts(origins, logins, judged)


def _origins(parameters: dict[str, Any]) -> tuple[dict[str, list[Origin]], set[str]]:
    origins: dict[str, list[Origin]] = defaultdict(list)
    actions = set()
    with connection.cursor() as cursor:
        cursor.execute(_ORIGINS, parameters)
        for principal, day, first, last, count, succeeded, ip, network, country, *place, device, action in cursor:
            origins[principal].append(
                Origin((day - EPOCH).days, first, last, count, succeeded, ip, network, country, _place(*place), device)
            )
            actions.add(action)
    return dict(origins), actions


def _logins(parameters: dict[str, Any]) -> dict[str, list[Login]]:
    logins: dict[str, list[Login]] = defaultdict(list)
    with connection.cursor() as cursor:
        for query in (_LOCATED_BEFORE, _LOGINS):
            cursor.execute(query, parameters)
            for principal, time, succeeded, ip, network, country, city, latitude, longitude, device in cursor:
                place = _place(latitude, longitude)
                logins[principal].append(Login(time, succeeded, ip, network, country, city, place, device))
    for some in logins.values():
        # In whatever order they came: those of one time by what they say.
        some.sort(key=lambda one: (one.time, one.succeeded, one.ip, one.place or (), one.country, one.city, one.device))
    return dict(logins)


def _place(latitude: float | None, longitude: float | None) -> tuple[float, float] | None:
    return None if latitude is None or longitude is None else (latitude, longitude)


def _pasts(
    origins: Mapping[str, list[Origin]], logins: Mapping[str, list[Login]], judged: Mapping[str, datetime]
) -> dict[str, Past]:
    used = sorted({(name, one.country) for name, some in logins.items() for one in some if one.country})
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_DAYS, [list(logins)])
        first_days = {principal: day for principal, day in cursor.fetchall() if day is not None}
        cursor.execute(_COUNTRIES, [[name for name, _ in used], [country for _, country in used]])
        countries: dict[str, dict[str, float]] = defaultdict(dict)
        for principal, country, first in cursor.fetchall():
            if first is not None:
                countries[principal][country] = first
    new = {
        name: {
            (country, datetime.fromtimestamp(first, UTC).date())
            for country, first in countries[name].items()
            if first >= (judged[name] - LOOK_BACK - LONGEST_FLIGHTS).timestamp()
        }
        for name in first_days
    }
    # Whoever logs in for the first time is new to every country: how common it is does not matter.
    common = _common({day for name, some in new.items() for _, day in some if day > first_days[name]})
    return {
        name: Past(
            first_day=(first_days[name] - EPOCH).days,
            origins=origins[name],
            countries=countries[name],
            common={
                (country, (day - EPOCH).days): common[day].get(country, 0.0)
                for country, day in new[name]
                if day in common
            },
        )
        for name in logins
        if name in first_days
    }


def _common(days: set[date]) -> dict[date, dict[str, float]]:
    """Return of each day and country which share of all principals used it in the month before, 0..1."""
    shares: dict[date, dict[str, float]] = {}
    with connection.cursor() as cursor:
        for day in sorted(days):
            # The last day that is settled is the one that ends so many days before.
            cursor.execute(_USERS_OF_COUNTRIES, {"day": day, "past": PAST_DAYS, "settled": SETTLED_DAYS + 1})
            users = dict(cursor.fetchall())
            everybody = users.pop(None, 0)
            shares[day] = {country: count / everybody for country, count in users.items()}
    return shares
