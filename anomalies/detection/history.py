"""What detectors look at: counts, first meetings and login attempts, all in memory."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class History:
    until: float
