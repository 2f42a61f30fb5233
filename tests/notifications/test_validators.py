"""What an answer must say."""

import pytest

from anomalies.notifications.validators import ValidatorError, checked, parsed

ANSWER = '{"ok": true, "n": 3, "status": "accepted", "list": [{"a b": "x"}], "none": null}'


@pytest.mark.parametrize(
    ("line", "ok", "found"),
    [
        ("$.status = ok, accepted", True, "accepted"),
        ("$.status = ok", False, "accepted"),
        ("$.ok = true", True, "true"),
        ("$.n=3", True, "3"),
        ("$.list[0]['a b'] = x", True, "x"),
        ("$.list[1].a = x", False, "nothing"),
        ("$.none = null", True, "null"),
        ("$.status.deeper = x", False, "nothing"),
    ],
)
def test_an_answer_is_held_against_what_is_expected(line: str, ok: bool, found: str) -> None:
    (check,) = checked(parsed(line), ANSWER)
    assert (check.ok, check.found) == (ok, found)


@pytest.mark.parametrize("body", ["", "<html>", "[" * 100_000])
def test_an_answer_that_is_no_json_passes_none(body: str) -> None:
    assert [check.ok for check in checked(parsed("$.a = b\n$ = c"), body)] == [False, False]


@pytest.mark.parametrize("text", ["status = ok", "$.status", "$.status =", "$..a = b", "$[x] = y", "$.a = b\n" * 21])
def test_a_validator_that_makes_no_sense_is_named(text: str) -> None:
    with pytest.raises(ValidatorError):
        parsed(text)
