"""manage.py createapikey: made, shown once, rotated."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from anomalies.models import ApiKey
from anomalies.services import api_keys

pytestmark = pytest.mark.django_db


def _made(*arguments: str) -> str:
    out = StringIO()
    call_command("createapikey", *arguments, stdout=out)
    return out.getvalue().strip()


def test_the_key_is_printed_and_nothing_else() -> None:
    plain = _made("ci", "--scope", "ingest", "--scope", "admin")

    key = api_keys.find(plain, at=timezone.now())
    assert key is not None
    assert (key.name, key.scopes, key.expires_at, key.requests_per_minute) == ("ci", ["admin", "ingest"], None, None)


def test_it_expires_and_is_limited_as_was_asked() -> None:
    plain = _made("ci", "--scope", "read", "--expires", "30", "--limit", "60")
    assert api_keys.find(plain, at=timezone.now() + timedelta(days=29))
    assert api_keys.find(plain, at=timezone.now() + timedelta(days=30)) is None
    assert ApiKey.objects.get().requests_per_minute == 60


def test_a_key_is_rotated_by_its_name() -> None:
    old = _made("ci", "--scope", "read")
    new = _made("ci", "--rotate", "--overlap", "2")
    newest = _made("ci", "--rotate")
    at = timezone.now()
    assert [api_keys.find(plain, at=at) is not None for plain in (old, new, newest)] == [True, False, True]
    assert api_keys.find(old, at=at + timedelta(hours=2)) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ci"], "scope: it is none"),
        (["taken", "--scope", "read"], "a key named taken exists already"),
        (["ci", "--scope", "read", "--expires", "0"], "--expires: 1 to 36,500 days."),
        (["ci", "--scope", "read", "--expires", "36501"], "--expires: 1 to 36,500 days."),
        (["ci", "--scope", "read", "--limit", "-1"], "requests_per_minute: "),
        (["ci", "--scope", "read", "--overlap", "1"], "--overlap: not without --rotate."),
        (["taken", "--rotate", "--scope", "read"], "--scope: not with --rotate."),
        (["taken", "--rotate", "--overlap", "999999999999"], "overlap: it is 0 to 720 hours."),
        (["ci", "--rotate"], "name: there is no key named ci."),
    ],
)
def test_what_makes_no_sense_is_named_and_makes_nothing(arguments: list[str], said: str) -> None:
    _made("taken", "--scope", "read")
    with pytest.raises(CommandError, match=said):
        _made(*arguments)
    assert ApiKey.objects.count() == 1
