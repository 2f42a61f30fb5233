"""Other people's detectors on counts, as their users would call them; run by itself, where only the peer is installed.

`python peer.py NAME IN OUT`: IN holds `counts` (n, t) by the hour, OUT gets `flags` of the same shape. Each sees the
whole series at once, the future as well, which ours does not.
"""

import sys

import numpy as np


def adtk(counts):
    """SeasonalAD with its defaults; of series in which it finds no season, InterQuartileRangeAD."""
    import pandas
    from adtk.detector import InterQuartileRangeAD, SeasonalAD

    hours = pandas.date_range("2026-01-05", periods=counts.shape[1], freq="h")

    def flags(row):
        series = pandas.Series(row.astype(float), index=hours)
        try:
            return SeasonalAD(side="positive").fit_detect(series)
        except Exception:  # noqa: BLE001  adtk raises nothing more precise
            return InterQuartileRangeAD().fit_detect(series)

    return np.array([np.nan_to_num(flags(row).astype(float).to_numpy()) > 0 for row in counts])


def stumpy(counts):
    """Days unlike any other: a matrix profile of 24 hours beyond its mean + 3 standard deviations."""
    import stumpy

    flags = np.zeros(counts.shape, dtype=bool)
    for row, series in enumerate(counts.astype(float)):
        profile = stumpy.stump(series, m=24)[:, 0].astype(float)
        far = np.flatnonzero(profile > profile.mean() + 3 * profile.std())
        for first in far.tolist():
            flags[row, first + int(np.argmax(series[first : first + 24]))] = True
    return flags


def pyod(counts):
    """ECOD with its defaults on the count beside the usual one of its hour."""
    from pyod.models.ecod import ECOD

    usual = np.median(counts.reshape(len(counts), -1, 24), axis=1)
    usual = np.tile(usual, counts.shape[1] // 24)
    return np.array([ECOD().fit(np.c_[row, row - mid]).labels_ > 0 for row, mid in zip(counts, usual, strict=True)])


if __name__ == "__main__":
    name, given, out = sys.argv[1:]
    np.savez(out, flags={"adtk": adtk, "stumpy": stumpy, "pyod": pyod}[name](np.load(given)["counts"]))
