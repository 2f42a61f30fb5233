"""Numbers as people read them."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LEAST_CHANCE = 1e-9  # that is told as a number
SPANS = {60: "1 minute", 300: "5 minutes", 3600: "1 hour", 86400: "1 day", 604800: "1 week"}


def number(value: float) -> str:
    """`1,204`, `38`, `4.2`, `0.94`, `0.1`, `under 0.01`: as many digits as say something."""
    if value >= 9.95 or value == int(value):
        return f"{round(value):,}"
    if value >= 0.995:
        return f"{value:.1f}"
    return f"{value:.2f}".rstrip("0") if value >= 0.01 else "under 0.01"


def percent(ratio: float) -> str:
    """`62 %`, `4 %`, `0.3 %`."""
    return f"{number(100 * ratio)} %"


def chance(p: float) -> str:
    """`about 1 in 12,048`, `about 1 in 12 million`, `less than 1 in a billion`: how probable that is, for people.

    Nobody can weigh what is rarer, and no model is that exact in its tail.
    """
    if p > 1e-6:
        return f"about 1 in {round(1 / p):,}"
    return f"about 1 in {number(1e-6 / p)} million" if p > LEAST_CHANCE else "less than 1 in a billion"


def span(seconds: float) -> str:
    """`5 minutes`, `40 seconds`, `1 hour`, `7 minutes`, `12 days`."""
    if int(seconds) in SPANS:
        return SPANS[int(seconds)]
    if seconds < 90:
        return plural(round(seconds), "second")
    if seconds < 5400:
        return plural(round(seconds / 60), "minute")
    if seconds < 172800:
        return plural(round(seconds / 3600), "hour")
    return plural(round(seconds / 86400), "day")


def plural(count: float, noun: str) -> str:
    """`1 event`, `1,200 events`."""
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"


def none_or(count: float, noun: str) -> str:
    """`no new principal`, `1 new principal`, `3 new principals`."""
    return plural(count, noun) if count else f"no {noun}"


def times(count: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(count, plural(count, "time"))


def of(kind: str, entity: str) -> str:
    """` from 192.0.2.7`, ` for user_1`, and nothing for an agent, which is named beside the sentence."""
    return {"address": f" from {entity}", "principal": f" for {entity}"}.get(kind, "")


def listing(names: list[str], *, most: int = 3) -> str:
    """`a, b and c`, `a, b, c and 4 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"
