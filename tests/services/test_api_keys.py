"""services/api_keys: who is let in, how often, and what takes a key's place."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet

from anomalies.models import ApiKey, ApiKeyUse, Change
from anomalies.services import api_keys
from anomalies.services.actor import Actor
from tests.make import NOW

pytestmark = pytest.mark.django_db

BEN = Actor(name="ben")


def _lets_in(plain: str, *, seconds: float = 0) -> bool:
    return api_keys.authenticate(plain, at=NOW + timedelta(seconds=seconds)) is not None


def _left(plain: str, *, seconds: float = 0) -> tuple[int, int]:
    """How many calls are left after one more, and for how many seconds."""
    admitted = api_keys.authenticate(plain, at=NOW + timedelta(seconds=seconds))
    assert admitted is not None
    assert admitted.allowance is not None
    return admitted.allowance.remaining, admitted.allowance.reset_seconds


def test_plain_text_is_kept_nowhere() -> None:
    key, plain = api_keys.create(name="ci", scopes=["read", "ingest", "read"])

    assert plain.startswith("gx_live_")
    assert key.scopes == ["ingest", "read"]
    assert plain not in str(ApiKey.objects.values().get())


def test_key_lets_in_until_it_expires_or_is_revoked() -> None:
    key, plain = api_keys.create(name="ci", scopes=["read"], expires_at=NOW)

    admitted = api_keys.authenticate(plain, at=NOW - timedelta(seconds=1))
    assert admitted is not None
    assert admitted.key == key == api_keys.find(plain, at=NOW - timedelta(seconds=1))
    assert api_keys.authenticate(plain, at=NOW) is api_keys.find(plain, at=NOW) is None
    assert api_keys.authenticate(plain + "x", at=NOW - timedelta(seconds=1)) is None
    ApiKey.objects.update(revoked_at=NOW - timedelta(days=1))
    assert api_keys.authenticate(plain, at=NOW - timedelta(seconds=1)) is None
    assert api_keys.find(plain, at=NOW - timedelta(seconds=1)) is None


def test_a_key_that_was_let_in_is_whole() -> None:
    key, plain = api_keys.create(name="ci", scopes=["read"], expires_at=NOW, requests_per_minute=7)
    admitted = api_keys.authenticate(plain, at=NOW - timedelta(days=1))
    assert admitted is not None
    key.refresh_from_db()
    names = [field.attname for field in ApiKey._meta.concrete_fields if field.attname != "last_used_at"]
    assert [getattr(admitted.key, name) for name in names] == [getattr(key, name) for name in names]


def test_last_use_is_noted_once_a_minute() -> None:
    _, plain = api_keys.create(name="ci", scopes=["read"])

    noted = []
    for seconds in (0, 59, 61):
        api_keys.authenticate(plain, at=NOW + timedelta(seconds=seconds))
        noted.append(ApiKey.objects.get().last_used_at)

    assert noted == [NOW, NOW, NOW + timedelta(seconds=61)]


def test_to_find_a_key_notes_and_counts_nothing() -> None:
    _, plain = api_keys.create(name="ci", scopes=["read"])
    api_keys.find(plain, at=NOW)
    assert ApiKey.objects.get().last_used_at is None
    assert not ApiKeyUse.objects.exists()


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"scopes": []}, "scope: it is none, not one or more of ingest, read, review, admin."),
        ({"scopes": ["read", "write"]}, "scope: it is write, not one or more of"),
        ({"name": ""}, "name: it has 1 to 100 printable characters."),
        ({"name": "x" * 101}, "name: it has 1 to 100 printable characters."),
        ({"name": "a\x00b"}, "name: it has 1 to 100 printable characters."),
        ({"name": "taken"}, "name: a key named taken exists already."),
        ({"requests_per_minute": -1}, "requests_per_minute: it is 0, for no limit, to 1,000,000."),
        ({"requests_per_minute": 1_000_001}, "requests_per_minute: it is 0, for no limit, to 1,000,000."),
    ],
)
def test_key_without_sense_is_refused(wanted: dict[str, Any], sentence: str) -> None:
    api_keys.create(name="taken", scopes=["read"])

    with pytest.raises(api_keys.ApiKeyError) as raised:
        api_keys.create(**{"name": "ci", "scopes": ["read"], **wanted})

    assert str(raised.value).startswith(sentence)
    assert ApiKey.objects.count() == Change.objects.count() == 1


def test_a_key_may_make_its_calls_in_each_minute_from_its_first() -> None:
    _, plain = api_keys.create(name="ci", scopes=["read"], requests_per_minute=3)
    assert [_left(plain, seconds=seconds) for seconds in (0, 0.5, 20)] == [(2, 60), (1, 60), (0, 40)]
    for seconds in (20, 59.5):
        with pytest.raises(
            api_keys.TooManyCallsError, match="ci may make 3 calls a minute and has made them"
        ) as raised:
            _left(plain, seconds=seconds)
    assert raised.value.allowance == api_keys.Allowance(limit=3, remaining=0, reset_seconds=1)
    assert _left(plain, seconds=60) == (2, 60)


def test_calls_that_were_refused_delay_the_next_minute_by_nothing() -> None:
    _, plain = api_keys.create(name="ci", scopes=["read"], requests_per_minute=1)
    _left(plain)
    for seconds in range(1, 60):
        with pytest.raises(api_keys.TooManyCallsError):
            _left(plain, seconds=seconds)
    assert _left(plain, seconds=60) == (0, 60)


def test_the_setting_is_the_limit_of_keys_without_one_of_their_own(settings: Any) -> None:
    settings.ANOMALIES_REQUESTS_PER_MINUTE = 2
    _, usual = api_keys.create(name="usual", scopes=["read"])
    _, own = api_keys.create(name="own", scopes=["read"], requests_per_minute=5)
    _, free = api_keys.create(name="free", scopes=["read"], requests_per_minute=0)
    assert (_left(usual)[0], _left(own)[0]) == (1, 4)
    assert api_keys.authenticate(free, at=NOW).allowance is None
    settings.ANOMALIES_REQUESTS_PER_MINUTE = 0
    assert api_keys.authenticate(usual, at=NOW).allowance is None
    assert _left(own)[0] == 3
    assert [api_keys.limit_of(key) for key in ApiKey.objects.order_by("name")] == [0, 5, 0]


def test_machines_whose_clocks_differ_count_together() -> None:
    _, plain = api_keys.create(name="ci", scopes=["read"], requests_per_minute=9)
    assert [_left(plain, seconds=seconds)[0] for seconds in (0, 20, -20, 5)] == [8, 7, 6, 5]


def test_a_clock_that_was_far_ahead_locks_nobody_out() -> None:
    _, plain = api_keys.create(name="ci", scopes=["read"], requests_per_minute=1)
    _left(plain, seconds=86400)
    assert _left(plain) == (0, 60)


def test_a_call_is_one_statement(django_assert_num_queries: Any) -> None:
    _, plain = api_keys.create(name="ci", scopes=["read"])
    for _ in range(2):
        with django_assert_num_queries(1):
            _lets_in(plain)


def test_to_count_writes_no_log() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'anomalies_apikeyuse'")
        assert cursor.fetchone() == ("u",)


@pytest.mark.django_db(transaction=True)
def test_of_calls_at_once_as_many_are_let_in_as_are_left(at_once: Callable[..., list[bool]]) -> None:
    _, plain = api_keys.create(name="ci", scopes=["read"], requests_per_minute=5)

    def let_in() -> bool:
        try:
            return _lets_in(plain)
        except api_keys.TooManyCallsError:
            return False

    assert sorted(at_once([let_in] * 12)) == [False] * 7 + [True] * 5


def test_a_new_key_takes_the_place_of_the_old_one_which_ends() -> None:
    old, before = api_keys.create(name="ci", scopes=["read", "review"], requests_per_minute=7)
    new, after = api_keys.rotate(old, at=NOW, by=BEN)
    assert after != before
    assert (new.name, new.scopes, new.requests_per_minute, new.replaces) == ("ci", ["read", "review"], 7, old)
    assert (_lets_in(before), _lets_in(after)) == (False, True)
    assert ApiKey.objects.called("ci").get() == new
    told = Change.objects.get(action="rotated")
    assert (told.subject_id, told.subject_name, told.actor) == (new.start, "ci", "ben")
    assert told.changes == {"key": [old.start, new.start]}
    assert told.note == f"{old.start} lets in no more."
    assert before not in str(Change.objects.values())
    assert after not in str(Change.objects.values())


def test_the_old_key_lets_in_for_the_overlap() -> None:
    old, before = api_keys.create(name="ci", scopes=["read"])
    _, after = api_keys.rotate(old, at=NOW, overlap_hours=24)
    assert (_lets_in(before, seconds=86399), _lets_in(after, seconds=86399)) == (True, True)
    assert (_lets_in(before, seconds=86400), _lets_in(after, seconds=86400)) == (False, True)


def test_the_calls_of_the_old_key_and_the_new_one_are_counted_together() -> None:
    old, before = api_keys.create(name="ci", scopes=["read"], requests_per_minute=4)
    _left(before)
    new, after = api_keys.rotate(old, at=NOW, overlap_hours=24)
    _, last = api_keys.rotate(new, at=NOW, overlap_hours=24)
    assert [_left(plain, seconds=10) for plain in (after, before, last)] == [(2, 50), (1, 50), (0, 50)]
    for plain in (before, after, last):
        with pytest.raises(api_keys.TooManyCallsError):
            _left(plain, seconds=20)


@pytest.mark.django_db(transaction=True)
def test_who_rotates_a_key_and_who_calls_with_it_do_not_wait_in_a_ring(
    in_turn: Callable[[QuerySet[Any], Sequence[Callable[[], object]]], list[object]],
) -> None:
    old, plain = api_keys.create(name="ci", scopes=["read"])
    api_keys.authenticate(plain, at=NOW)
    later = NOW + timedelta(minutes=5)  # when its use is noted again
    calls = [
        lambda: api_keys.rotate(old, at=later, overlap_hours=1),
        lambda: api_keys.authenticate(plain, at=later),
    ]
    _, admitted = in_turn(ApiKey.objects.filter(pk=old.pk), calls)
    assert admitted is not None


def test_the_new_key_has_as_long_a_life_and_the_old_no_longer_one() -> None:
    old, _ = api_keys.create(name="ci", scopes=["read"])
    ApiKey.objects.update(created_at=NOW - timedelta(days=29), expires_at=NOW + timedelta(days=1))
    new, _ = api_keys.rotate(old, at=NOW, overlap_hours=720)
    old.refresh_from_db()
    assert old.expires_at == NOW + timedelta(days=1)
    assert new.expires_at == NOW + timedelta(days=30)


def test_a_key_is_replaced_once_and_not_after_it_was_revoked() -> None:
    old, _ = api_keys.create(name="ci", scopes=["read"])
    new, _ = api_keys.rotate(old, at=NOW)
    with pytest.raises(api_keys.ApiKeyError, match=f"another key has taken the place of {old.start} already"):
        api_keys.rotate(old, at=NOW)
    api_keys.revoke(new, at=NOW)
    with pytest.raises(api_keys.ApiKeyError, match="it is revoked"):
        api_keys.rotate(new, at=NOW)
    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize("hours", [-1, 721, 10**12])
def test_an_overlap_without_sense_is_refused(hours: int) -> None:
    old, before = api_keys.create(name="ci", scopes=["read"])
    with pytest.raises(api_keys.ApiKeyError, match="overlap: it is 0 to 720 hours"):
        api_keys.rotate(old, at=NOW, overlap_hours=hours)
    assert _lets_in(before)


@pytest.mark.django_db(transaction=True)
def test_of_rotations_at_once_one_counts(at_once: Callable[..., list[bool]]) -> None:
    old, _ = api_keys.create(name="ci", scopes=["read"])

    def rotated() -> bool:
        try:
            api_keys.rotate(old, at=NOW)
        except api_keys.ApiKeyError:
            return False
        return True

    assert sorted(at_once([rotated] * 4)) == [False] * 3 + [True]
    assert ApiKey.objects.count() == 2
