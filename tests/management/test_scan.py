"""scan: what it says when it is done."""

import io

import pytest
from django.core.management import call_command

from tests import make

pytestmark = pytest.mark.django_db(transaction=True)


def scanned() -> str:
    out = io.StringIO()
    call_command("scan", stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_one_is_told_in_the_singular() -> None:
    make.event()

    assert scanned().startswith("1 event in 1 batch counted, ")


def test_nothing_left_to_count_is_said() -> None:
    make.event()
    scanned()

    assert scanned().startswith("Nothing was waiting to be counted, 0 entities judged; ")
