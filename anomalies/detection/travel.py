"""Travel: how far apart logins are, how fast nobody gets from one to the next, and what is one stay."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalies.detection.history import HOUR, Login

Place = tuple[float, float]  # latitude and longitude in degrees
Floats = NDArray[np.float64]

EARTH_RADIUS_KM = 6371.0
SAME_DEGREES = 0.5  # of latitude and longitude, up to which logins in a row are one stay


@dataclass(frozen=True, slots=True)
class Limits:
    """What travel is possible."""

    speed_kmh: float  # the fastest that anybody is
    distance_km: float  # up to which two places may be one

    def impossible(self, one: Place, other: Place, seconds: float) -> float | None:
        """Return the speed in km/h of whom both places saw within that time, if nobody travels so; else None."""
        apart = distance(one, other)
        if apart <= self.distance_km:
            return None
        speed = apart / max(seconds, 1.0) * HOUR
        return speed if speed > self.speed_kmh else None


@dataclass(frozen=True, slots=True)
class Trip:
    """From the login before to this one, in km and km/h."""

    since: Login
    distance: float
    speed: float


@dataclass(frozen=True, slots=True)
class Stay:
    """Logins in a row from one place."""

    elsewhere: Login | None  # the last one before
    first: Login
    last: Login


def stay(before: Stay | None, login: Login) -> Stay:
    """Return the stay that a located login begins or goes on with."""
    if before is None:
        return Stay(None, login, login)
    if _same_place(before.first, login):
        return Stay(before.elsewhere, before.first, login)
    return Stay(before.last, login, login)


def _same_place(one: Login, other: Login) -> bool:
    """Return whether two located logins are at most half a degree apart either way."""
    assert one.place is not None
    assert other.place is not None
    return all(abs(a - b) <= SAME_DEGREES for a, b in zip(one.place, other.place, strict=True))


def distance(one: Place, other: Place) -> float:
    """Return the great-circle distance in km between two places."""
    return float(distances(one, np.array([other]))[0])


def distances(one: Place, others: Floats) -> Floats:
    """Return the great-circle distances in km to places in degrees, (n, 2), by the haversine.

    Source: Sinnott (1984), Sky and Telescope 68(2).
    """
    (lat1, lon1), (lat2, lon2) = np.radians(one), np.radians(others).T
    h = np.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(h, 1.0))))
