"""The table of peers' fields: whole, once each, and as the code has it."""

import json
import re
from collections import Counter

import msgspec
import pytest

from hotswap.api.application import PARTS
from hotswap.api.shared.schemas import Fields, convert
from hotswap.api.shared.unsupported_fields import ANYTHING
from hotswap.errors import BadRequest
from tests.pages import ROOT, symbols
from tests.peer_fields import Row, bodies, peers, rows

assert PARTS  # it has imported every body
KINDS = {kind.__name__: kind for kind in bodies()}
ROWS = rows()
UNKNOWN = [row for row in ROWS if row.field not in KINDS[row.body].foreign]
UNKNOWN = [row for row in UNKNOWN if row.status == "refused"]


def by_code(kind: type[Fields], field: str) -> tuple[str, str]:
    """The status that the code gives a field, and the values that pass."""
    if field in kind.__struct_encode_fields__:
        return "done", ""
    values = kind.foreign.get(field, ())
    if not values:
        return "refused", ""
    if values is ANYTHING:
        return "neutral", "any"
    return "neutral", ", ".join(f"`{json.dumps(value)}`" for value in values)


def test_every_field_of_every_peer_has_one_row_and_no_other_has() -> None:
    listed = Counter(
        (body, field)
        for body, there in peers().items()
        for field in set().union(*there.values())
    )

    assert Counter((row.body, row.field) for row in ROWS) == listed


def test_a_row_names_the_peers_that_have_the_field() -> None:
    for row in ROWS:
        there = peers()[row.body]
        having = [peer for peer, fields in there.items() if row.field in fields]
        assert row.peers == ", ".join(having), (row.body, row.field)


def test_a_row_says_what_the_code_does() -> None:
    wrong = {
        (row.body, row.field): (said, found)
        for row in ROWS
        if (said := (row.status, row.passes))
        != (found := by_code(KINDS[row.body], row.field))
    }

    assert not wrong


def test_a_row_names_a_test_that_is_there_and_is_about_its_field() -> None:
    for row in ROWS:
        path, _, name = row.test.partition(": ")
        place = ROOT / path
        assert name in set(symbols(place)), row
        if row.status == "done":
            assert re.search(rf"\b{row.field}\b", place.read_text()), row


@pytest.mark.parametrize("row", UNKNOWN, ids=lambda row: f"{row.body} {row.field}")
def test_a_field_that_is_unknown_is_refused_by_name(row: Row) -> None:
    """Before what the body lacks."""
    with pytest.raises(BadRequest) as caught:
        convert({row.field: 1}, KINDS[row.body])

    assert caught.value.field == row.field


def test_a_field_that_is_done_can_be_said() -> None:
    """By the name that the page gives it: not only inside."""
    for row in ROWS:
        if row.status == "done":
            fields = msgspec.structs.fields(KINDS[row.body])
            assert row.field in {field.encode_name for field in fields}
