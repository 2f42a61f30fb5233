"""admin/record: what the system writes about itself."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from tests import make

pytestmark = pytest.mark.django_db

SCANS = reverse("admin:anomalies_scan_changelist")


def test_the_list_of_scans_says_how_many_of_the_raised_were_of_the_past(as_boss: Client) -> None:
    scan = make.scan(anomalies_raised=5, anomalies_of_the_past=3)
    page = as_boss.get(SCANS).text
    assert re.search(r'field-anomalies_raised">5</td>\s*<td class="field-of_the_past">3</td>', page)
    assert "Of those raised" in as_boss.get(reverse("admin:anomalies_scan_change", args=[scan.pk])).text


def test_scans_are_sorted_by_what_they_found_of_the_past(as_boss: Client) -> None:
    few, most, none = (make.scan(anomalies_of_the_past=count) for count in (1, 3, 0))
    column = as_boss.get(SCANS).context["cl"].list_display.index("of_the_past")
    assert list(as_boss.get(SCANS, {"o": f"-{column}"}).context["cl"].queryset) == [most, few, none]
    assert list(as_boss.get(SCANS, {"o": f"{column}"}).context["cl"].queryset) == [none, few, most]
