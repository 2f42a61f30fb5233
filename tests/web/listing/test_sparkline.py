"""web/sparkline: a bar for each bucket, those of the anomaly apart, and the same in words."""

from anomalies.services.sparks import Spark
from anomalies.web.listing.sparkline import sparkline
from tests import make


def test_bars_are_as_high_as_their_counts_and_the_anomalous_ones_apart() -> None:
    counts = (*[10] * 20, 0, 40, 1, 10)
    drawn = sparkline(Spark("requests", 300, make.NOW, counts, range(21, 23)))
    assert drawn.usual.count("M") == 21
    assert "M63 18v-18h2v18z" in drawn.anomalous
    assert "M66 18v-1h2v1z" in drawn.anomalous
    assert drawn.words == "Requests in 5 minutes: up to 40 while it lasted, else mostly 10"


def test_of_nothing_no_bar_is_drawn() -> None:
    drawn = sparkline(Spark("failures", 3600, make.NOW, (0,) * 24, range(23, 24)))
    assert (drawn.usual, drawn.anomalous) == ("", "")
