"""docs/djl.md: no sentence of DJL's pages stands there without what shows it."""

import re

import pytest

from tests.pages import ROOT

PAGE = (ROOT / "docs" / "djl.md").read_text()
SENTENCES = "| DJL says | here | test |"
PURPOSES = "| DJL | here | because |"
# One that a branch brings which is not here yet stands in a comment.
TEST = r"`tests/[\w/]+\.py: test_\w+`"
# What DJL says of itself and nobody could show.
NOTHING_TO_SHOW = "nothing is promised"


def rows(header: str) -> list[list[str]]:
    """The cells of the table under that line. A row with one cell alone is a heading
    within it."""
    table = PAGE.partition(header)[2].partition("\n\n")[0]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return [cells for cells in lines if len(cells) > 1]


@pytest.mark.parametrize("row", rows(SENTENCES), ids=lambda row: row[0][:40])
def test_every_sentence_has_a_test_beside_it(row: list[str]) -> None:
    said, here, shown = row

    assert said
    assert here
    if shown != NOTHING_TO_SHOW:
        assert all(re.fullmatch(TEST, each) for each in shown.split(", ")), shown


@pytest.mark.parametrize("row", rows(PURPOSES), ids=lambda row: row[0][:40])
def test_every_difference_has_a_reason(row: list[str]) -> None:
    assert all(row)
    assert len(row) == 3


def test_both_tables_are_found() -> None:
    assert len(rows(SENTENCES)) > 70
    assert len(rows(PURPOSES)) > 15
