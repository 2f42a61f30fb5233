"""What happened around an anomaly as a drawing as small as a word: a bar for each bucket."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.utils import timezone

from anomalies.detection.wording import span
from anomalies.models import Anomaly
from anomalies.services import bookmarks
from anomalies.services.sparks import Spark, sparks
from anomalies.web.listing.row import Row

WIDTH, HEIGHT = 72, 18
BAR = WIDTH / 24
LEAST = 1.0  # of a bar that stands for anything


@dataclass(frozen=True, slots=True)
class Sparkline:
    """`usual` and `anomalous` are the paths of two kinds of bars, in a drawing of 72 by 18."""

    usual: str
    anomalous: str
    words: str


def sparkline(spark: Spark) -> Sparkline:
    """Return the drawing, with what it shows in words."""
    most = max(spark.counts)
    bars: dict[bool, list[str]] = {True: [], False: []}
    for at, count in enumerate(spark.counts):
        if count:
            height = max(LEAST, round(HEIGHT * count / most, 1))
            bars[at in spark.anomalous].append(f"M{round(at * BAR, 1):g} {HEIGHT}v-{height:g}h{BAR - 1:g}v{height:g}z")
    within = [spark.counts[at] for at in spark.anomalous if at < len(spark.counts)]
    before = sorted(count for at, count in enumerate(spark.counts) if at not in spark.anomalous)
    usual = f", else mostly {before[len(before) // 2]:,}" if before else ""
    words = (
        f"{spark.unit.capitalize()} in {span(spark.seconds)}: up to {max(within, default=0):,} while it lasted{usual}"
    )
    return Sparkline("".join(bars[False]), "".join(bars[True]), words)


def rows_of(anomalies: Sequence[Anomaly], user: User | AnonymousUser, *, state: str) -> list[Row]:
    """Return anomalies as lines of somebody's list: with what happened around each, and whether they marked it.

    `state` is the list as its query string.
    """
    if not anomalies:
        return []
    marked = bookmarks.marked((one.pk for one in anomalies), by=user.pk)
    drawn = sparks(anomalies, now=timezone.now())
    return [
        Row(one, one.pk in marked, sparkline(drawn[one.pk]) if one.pk in drawn else None, state) for one in anomalies
    ]
