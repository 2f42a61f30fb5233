from datetime import timedelta

import pytest

from anomalies.models import ApiKey
from anomalies.services import api_keys
from tests.make import NOW

pytestmark = pytest.mark.django_db


def test_plain_text_is_kept_nowhere() -> None:
    key, plain = api_keys.create(name="ci", scopes=["read", "ingest", "read"])

    assert plain.startswith("gx_live_")
    assert key.scopes == ["ingest", "read"]
    assert plain not in str(ApiKey.objects.values().get())


def test_key_lets_in_until_it_expires_or_is_revoked() -> None:
    key, plain = api_keys.create(name="ci", scopes=["read"], expires_at=NOW)

    assert api_keys.authenticate(plain, at=NOW - timedelta(seconds=1)) == key
    assert api_keys.authenticate(plain, at=NOW) is None
    assert api_keys.authenticate(plain + "x", at=NOW - timedelta(seconds=1)) is None
    ApiKey.objects.update(revoked_at=NOW - timedelta(days=1))
    assert api_keys.authenticate(plain, at=NOW - timedelta(seconds=1)) is None


def test_last_use_is_noted_once_a_minute() -> None:
    _, plain = api_keys.create(name="ci", scopes=["read"])

    for seconds in (0, 59, 61):
        api_keys.authenticate(plain, at=NOW + timedelta(seconds=seconds))

    assert ApiKey.objects.get().last_used_at == NOW + timedelta(seconds=61)


@pytest.mark.parametrize(
    ("name", "scopes", "sentence"),
    [
        ("ci", [], "scope: it is none, not one or more of ingest, read, review."),
        ("ci", ["read", "write"], "scope: it is write, not one or more of"),
        ("", ["read"], "name: it has 1 to 100 printable characters."),
        ("x" * 101, ["read"], "name: it has 1 to 100 printable characters."),
        ("a\x00b", ["read"], "name: it has 1 to 100 printable characters."),
        ("taken", ["read"], "name: a key named taken exists already."),
    ],
)
def test_key_without_sense_is_refused(name: str, scopes: list[str], sentence: str) -> None:
    api_keys.create(name="taken", scopes=["read"])

    with pytest.raises(api_keys.ApiKeyError) as raised:
        api_keys.create(name=name, scopes=scopes)

    assert str(raised.value).startswith(sentence)
