"""A line as small as a word: what happened in each of some hours."""

from collections.abc import Sequence

WIDTH, HEIGHT = 72, 18


def spark(counts: Sequence[int]) -> str:
    """Return the points of a polyline in a drawing of 72 by 18; empty where nothing happened."""
    most = max(counts, default=0)
    if not most:
        return ""
    step = WIDTH / max(1, len(counts) - 1)
    return " ".join(
        f"{round(i * step, 1)},{round(HEIGHT - 1 - (HEIGHT - 2) * n / most, 1)}" for i, n in enumerate(counts)
    )
