"""detection/interval: open, extend, close, merge."""

import numpy as np
import pytest

from anomalies.detection import interval


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ("..H..", [(2, 2)]),
        (".w.w.", []),  # warm alone opens nothing
        (".Hww.", [(1, 3)]),
        ("wwH..", [(2, 2)]),  # it begins where it was hot
        ("H..H.", [(0, 3)]),
        ("H...H", [(0, 0), (4, 4)]),
        ("H..w..H", [(0, 6)]),
        ("", []),
    ],
)
def test_runs(buckets: str, expected: list[tuple[int, int]]) -> None:
    hot = np.array([bucket == "H" for bucket in buckets], dtype=np.bool_)
    warm = np.array([bucket in "Hw" for bucket in buckets], dtype=np.bool_)
    assert interval.runs(hot, warm) == expected


def test_it_is_open_until_two_buckets_were_quiet() -> None:
    assert interval.is_open(end=100, width=10, until=119)
    assert not interval.is_open(end=100, width=10, until=120)
