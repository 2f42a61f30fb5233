"""Anodot's words for what our rows say."""

from datetime import datetime

# Each from so many seconds on. Rules have windows of any length: theirs are the next shorter ones.
_SECONDS = {"short": 0, "medium": 300, "long": 3600, "longlong": 86_400, "weekly": 604_800}
_MOST = 2**31 - 1
RESOLUTIONS = {  # as it is spelt: as it is told
    **{name: name for name in _SECONDS},
    "small": "short",
    **dict(zip(("1m", "5m", "1h", "1d", "1w"), _SECONDS, strict=True)),
}


def seconds_of(resolution: str) -> tuple[int, int]:
    """Return from how many seconds on it is that resolution, and from how many on another."""
    bounds = [*_SECONDS.values(), _MOST]
    at = [*_SECONDS].index(resolution)
    return bounds[at], bounds[at + 1]


def resolution_of(seconds: int) -> str:
    return next(name for name, least in reversed(_SECONDS.items()) if seconds >= least)


def epoch(moment: datetime) -> int:
    """Whole seconds since 1970."""
    return int(moment.timestamp() // 1)
