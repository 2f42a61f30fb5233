"""A body in JSON with placeholders."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalies.notifications.template import MOST_LETTERS, TemplateError, check, render

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_no_value_can_break_the_json(value: Any) -> None:
    body = render('{"alone": "{{ a.b }}", "within": "[{{a.b}}]", "plain": 1}', {"a.b": value})
    content = json.loads(body)
    assert content["alone"] == value
    assert content["within"] == f"[{_written(value)}]"
    assert set(content) == {"alone", "within", "plain"}


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def test_a_value_that_looks_like_a_placeholder_stays_what_it_is() -> None:
    assert json.loads(render('["{{ a }} {{ b }}"]', {"a": "{{ b }}", "b": "x"})) == ["{{ b }} x"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"a": "{{ nobody }}"}', "there is no placeholder “nobody”, only id, score"),
        ('{"a": "{{ id.__class__ }}"}', "there is no placeholder “id.__class__”"),
        ('{"{{ id }}": 1}', "is a key"),
        ('{"a": {{ score }}}', "line 1, column 8"),
        ('{"a": NaN}', "NaN"),
        ("", "no JSON"),
        ("[" * 100_000, "at most 20,000"),
        ("[" * 5_000, "JSON"),
        ("[" * 30 + "]" * 30, "deep"),
        (json.dumps("x" * MOST_LETTERS), "20,002 characters"),
    ],
)
def test_a_template_that_does_not_render_is_refused_by_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        check(text, known=("id", "score"))
