"""web/recomputed: the same figures again, for whoever may look."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from anomalies.models import Anomaly
from tests import make
from tests.services.days import MONDAY, SPIKE_SEEN, burst, run, store, usual
from tests.web.details.test_panel import path, words

pytestmark = pytest.mark.django_db
# Session, user with permissions, and the anomaly; the others are of what it is derived from.
RECOMPUTE_QUERIES = 13


def test_recompute_says_that_the_same_figures_come_out_and_writes_nothing(as_vic: Client) -> None:
    spike = MONDAY + timedelta(days=20, hours=10)
    store([*usual(20), *burst(spike, 300)])
    run(SPIKE_SEEN)
    anomaly = Anomaly.objects.get(type="rate_spike")
    before = Anomaly.objects.values().get(pk=anomaly.pk)
    page = as_vic.post(f"{path(anomaly)}recompute/").text
    assert "Equal: the same figures come out of what is stored today (checked <time" in page
    assert "<html" in page
    with CaptureQueriesContext(connection) as asked:
        part = as_vic.post(f"{path(anomaly)}recompute/", headers={"HX-Request": "true"}).text
    assert part.strip().startswith("<p>Equal:")
    assert all(query["sql"].lstrip().startswith(("SELECT", "COPY", "WITH")) for query in asked)
    assert len(asked) == RECOMPUTE_QUERIES
    assert Anomaly.objects.values().get(pk=anomaly.pk) == before


def test_recompute_shows_what_differs_and_why(as_ana: Client) -> None:
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300)])
    run(SPIKE_SEEN)
    anomaly = Anomaly.objects.get(type="rate_spike")
    evidence = {**anomaly.evidence, "observed": 299, "events": {"count": 400, "hash": "0"}}
    Anomaly.objects.filter(pk=anomaly.pk).update(evidence=evidence)
    page = words(as_ana.post(f"{path(anomaly)}recompute/", headers={"HX-Request": "true"}).text)
    assert "of its events are no longer stored. Figure Stored Derived" in page
    assert "observed 299 300" in page
    assert "events and their hash" in page


def test_recompute_of_a_type_that_is_no_more_says_so(as_ana: Client) -> None:
    anomaly = make.anomaly(type="retired_type")
    page = as_ana.post(f"{path(anomaly)}recompute/").text
    assert "There is no detector of the type retired_type any more." in page


def test_the_address_of_a_recomputation_leads_to_the_details(as_ana: Client) -> None:
    anomaly = make.anomaly()
    assert as_ana.get(f"{path(anomaly)}recompute/").headers["Location"] == path(anomaly)
