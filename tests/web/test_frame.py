"""What surrounds the pages: freshness, time zone, theme, types reference, security headers."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from anomalies.detection.registry import DETECTORS
from anomalies.models import Scan
from anomalies.web.detectors.parameters import number
from anomalies.web.freshness import freshness
from tests import make

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def test_complete_to_is_when_the_last_finished_scan_looked() -> None:
    make.source()
    assert freshness(now=make.NOW).complete_to is None
    make.scan(now=make.NOW - 5 * MINUTE, started_at=make.NOW - 5 * MINUTE)
    Scan.objects.create(trigger="schedule", now=make.NOW, started_at=make.NOW)
    assert freshness(now=make.NOW).complete_to == make.NOW - 5 * MINUTE
    assert not freshness(now=make.NOW).scan_is_late
    assert freshness(now=make.NOW + 20 * MINUTE).scan_is_late


def test_without_a_source_nothing_is_complete(as_ana: Client) -> None:
    make.scan()
    page = as_ana.get("/").text
    assert "No source yet" in page
    assert "Complete to" not in page


def test_each_time_has_the_name_that_its_zone_had_then(as_ana: Client) -> None:
    make.anomaly(detected_at=datetime(2026, 3, 28, 12, tzinfo=UTC))
    make.anomaly(detected_at=datetime(2026, 3, 29, 12, tzinfo=UTC))
    as_ana.cookies["local_zone"] = "Europe%2FBerlin"
    page = as_ana.get("/").text
    assert "28 Mar 2026 13:00 CET" in page
    assert "29 Mar 2026 14:00 CEST" in page
    assert "Detected <small>Berlin</small>" in page


def test_the_year_is_told_of_another_year(as_ana: Client) -> None:
    old = make.anomaly(detected_at=datetime(2017, 3, 27, 15, 20, tzinfo=UTC))
    assert ">27 Mar 2017 15:20</time>" in as_ana.get("/").text
    assert ">27 Mar 2017 15:20</time> UTC" in as_ana.get(f"/anomalies/{old.public_id}/").text


def test_a_live_source_behind_is_named_and_an_import_is_not() -> None:
    make.source("punctual", watermark=make.NOW - MINUTE, received_at=make.NOW)
    make.source("okta", watermark=make.NOW - 40 * MINUTE, received_at=make.NOW - 2 * MINUTE)
    make.source("silent", watermark=make.NOW - 90 * MINUTE, received_at=make.NOW - 90 * MINUTE)
    make.source("archive", watermark=make.NOW - timedelta(days=900), received_at=make.NOW)
    make.source("retired", watermark=make.NOW - timedelta(days=30), received_at=make.NOW - timedelta(days=30))
    assert [source.name for source in freshness(now=make.NOW).late] == ["silent", "okta"]


def test_what_is_complete_waits_for_the_slowest_live_source_that_is_not_late() -> None:
    make.scan(now=make.NOW)
    make.source("quick", watermark=make.NOW, received_at=make.NOW, lag_seconds=4)
    make.source("slow", watermark=make.NOW - 5 * MINUTE, received_at=make.NOW, lag_seconds=300)
    make.source("okta", watermark=make.NOW - 40 * MINUTE, received_at=make.NOW, lag_seconds=2400)
    make.source("retired", watermark=make.NOW, received_at=make.NOW - timedelta(days=30), lag_seconds=9000)
    assert freshness(now=make.NOW).complete_to == make.NOW - 5 * MINUTE


def test_the_source_that_everybody_waits_for_is_named_with_its_lag(as_ana: Client, ana: User) -> None:
    make.scan(now=make.NOW)
    now = timezone.now()
    make.source("quick", watermark=now, received_at=now, lag_seconds=4)
    assert "late" not in _freshness_line(as_ana)
    make.source("nightly export", watermark=now, received_at=now, lag_seconds=7200)
    assert _freshness_line(as_ana).endswith(", nightly export brings events up to 2 hours late")
    assert "/admin/anomalies/source/" not in as_ana.get("/").text
    ana.is_staff = True
    ana.save()
    ana.user_permissions.add(Permission.objects.get(codename="view_source"))
    assert '<a href="/admin/anomalies/source/"><bdi>nightly export</bdi></a>' in as_ana.get("/").text


def _freshness_line(client: Client) -> str:
    [line] = re.findall(r'<p class="fresh".*?</p>', client.get("/").text)
    return re.sub(r"<[^>]*>", "", line)


def test_times_are_in_utc_until_the_browser_told_its_zone(as_ana: Client) -> None:
    make.anomaly()
    page = as_ana.get("/").text
    assert "20 Nov 12:00" in page
    assert "Detected <small>UTC</small>" in page


def test_times_are_in_the_browsers_zone_and_say_so(as_ana: Client) -> None:
    make.anomaly()
    as_ana.cookies["local_zone"] = "Asia%2FTokyo"
    page = as_ana.get("/").text
    assert "20 Nov 21:00" in page
    assert "Detected <small>Tokyo</small>" in page
    assert 'datetime="2026-11-20T21:00:00+09:00"' in page


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc/passwd", "%00", "x" * 500, "Europe"])
def test_a_zone_that_does_not_exist_is_utc(as_ana: Client, zone: str) -> None:
    as_ana.cookies["local_zone"] = zone
    assert "UTC" in as_ana.get("/").text


def test_the_zone_is_switched_by_a_form(as_ana: Client) -> None:
    make.anomaly()
    as_ana.cookies["local_zone"] = "Asia%2FTokyo"
    assert as_ana.post("/preferences/", {"zone": "utc", "next": "/types/"}).headers["Location"] == "/types/"
    assert "20 Nov 12:00" in as_ana.get("/").text
    as_ana.post("/preferences/", {"zone": "local"})
    assert "20 Nov 21:00" in as_ana.get("/").text


def test_the_theme_is_switched_by_a_form(as_ana: Client) -> None:
    assert "data-theme" not in as_ana.get("/").text
    as_ana.post("/preferences/", {"theme": "dark"})
    assert '<html lang="en" data-theme="dark">' in as_ana.get("/").text
    response = as_ana.post("/preferences/", {"theme": "<b>"})
    assert (response.status_code, response.text) == (400, "theme: “<b>” is none of system, light, dark.")
    assert response.headers["Content-Type"].startswith("text/plain")


def test_only_staff_is_led_to_the_admin_site(as_ana: Client, ana: User) -> None:
    assert 'href="/admin/"' not in as_ana.get("/").text
    ana.is_staff = True
    ana.save()
    assert 'href="/admin/"' in as_ana.get("/").text


def test_no_page_has_inline_script_or_style_or_another_host(as_ana: Client) -> None:
    anomaly = make.anomaly()
    for path in ("/", f"/?open={anomaly.public_id}", "/types/", f"/anomalies/{anomaly.public_id}/", "/login/"):
        response = as_ana.get(path, follow=True)
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        page = response.text
        assert " style=" not in page
        assert "<style" not in page
        assert " onclick=" not in page
        assert "hx-on" not in page
        assert all("src=" in tag for tag in page.split("<script")[1:])
        assert "https://" not in page


def test_the_reference_tells_everything_about_every_type(as_ana: Client) -> None:
    page = unescape(as_ana.get("/types/").text)
    for detector in DETECTORS.values():
        told = [detector.label, detector.meaning, *detector.may_indicate, *detector.recommended_actions]
        for parameter in detector.parameters:
            default = ", ".join(parameter.default) if parameter.is_words else number(parameter.default)
            told += [parameter.name, parameter.unit, parameter.help, default]
        for text in told:
            assert text in page
