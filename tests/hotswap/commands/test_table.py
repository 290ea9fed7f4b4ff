"""Columns stand one below the other, whatever is in them."""

from hotswap.commands.table import table


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    found = table(("name", "state"), [["a", "ready"], ["a longer name", ""]])

    assert found.splitlines() == [
        "name           state",
        "a              ready",
        "a longer name",
    ]


def test_a_cell_from_outside_breaks_no_line() -> None:
    found = table(("name", "why"), [["a\nb", "\x1b[31m"]])

    assert found.splitlines()[1:] == ["a\\nb  \\x1b[31m"]


def test_without_rows_the_titles_stand_alone() -> None:
    assert table(("name", "state"), []) == "name  state"
