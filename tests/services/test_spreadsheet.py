"""services/spreadsheet: no cell runs."""

import pytest

from anomalies.services.spreadsheet import guarded


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_what_a_spreadsheet_takes_for_a_formula_begins_with_an_apostrophe(start: str) -> None:
    assert guarded(f"{start}1") == f"'{start}1"


@pytest.mark.parametrize("cell", ["1", "a=b", "", -5, None])
def test_every_other_cell_stays_as_it_is(cell: object) -> None:
    assert guarded(cell) is cell
