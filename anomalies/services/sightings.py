"""Keeping from where principals log in, as batches are counted."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.backends.utils import CursorWrapper

from anomalies.ingest.logins import is_login

# Versions change with every update of a browser, its name and system do not.
DEVICE = "left(regexp_replace({user_agent}, '[/ ]?[0-9]+([._][0-9]+)*', '', 'g'), 200)"

# Actions are few: which of them are logins is said by Python, once for each.
_ACTIONS = "SELECT DISTINCT action FROM tally WHERE kind = 'agent' AND action <> ''"

_SIGHTINGS = f"""
INSERT INTO anomalies_sighting
    (principal_id, day, action, succeeded, ip, country, latitude, longitude, device, logins, first_seen, last_seen)
SELECT principal_id, (time AT TIME ZONE 'UTC')::date, action, status = 'success', ip, country,
       CASE WHEN longitude IS NOT NULL THEN round(latitude::numeric, 1)::float8 END,
       CASE WHEN latitude IS NOT NULL THEN round(longitude::numeric, 1)::float8 END,
       {DEVICE.format(user_agent="user_agent")}, count(*), min(time), max(time)
FROM anomalies_event
WHERE batch_id = ANY(%(ids)s) AND time >= %(first)s::timestamptz AND time <= %(last)s::timestamptz
  AND action = ANY(%(actions)s) AND principal_id IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9
ON CONFLICT (principal_id, day, action, succeeded, ip, country, latitude, longitude, device) DO UPDATE SET
    logins = anomalies_sighting.logins + excluded.logins,
    first_seen = least(anomalies_sighting.first_seen, excluded.first_seen),
    last_seen = greatest(anomalies_sighting.last_seen, excluded.last_seen)
"""  # noqa: S608  of constants


def logins_among(cursor: CursorWrapper) -> list[str]:
    """Return which actions of the tally are logins, as events call them: before they are named as they are counted."""
    cursor.execute(_ACTIONS)
    return [action for (action,) in cursor.fetchall() if is_login(action)]


def add(cursor: CursorWrapper, chosen: Mapping[str, Any], logins: Sequence[str]) -> None:
    """Add the logins of the batches that are counted, in the transaction that marks them so.

    `chosen` are their ids and the times between which their events lie; `logins` the actions that are logins.
    """
    if logins:
        cursor.execute(_SIGHTINGS, {**chosen, "actions": list(logins)})
