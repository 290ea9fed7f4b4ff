"""Input and Output have DJL's methods and meaning.

The expected values were written down from djl-serving's `inputs.py` and `outputs.py`.
"""

import datetime
import json
from typing import Any

import numpy
import pytest

from hotswap.handler.djl_calls import data_of
from hotswap.handler.djl_python import Input, Output, PairList


def input_of(*content: tuple[str, bytes], **properties: str) -> Input:
    made = Input()
    made.properties = properties
    for key, value in content:
        made.content.add(key, bytearray(value))
    return made


def test_the_body_is_data_and_the_rest_has_keys() -> None:
    made = input_of(("adapter", b"a"), ("data", b'{"x": 1}'))

    assert made.get_as_bytes() == b'{"x": 1}'
    assert made.get_as_json() == {"x": 1}
    assert made.get_as_string("adapter") == "a"
    assert made.contains_key("adapter")
    assert not made.contains_key("other")
    with pytest.raises(KeyError, match="other"):
        made.get_as_bytes("other")


def test_without_data_the_first_value_is_taken() -> None:
    assert input_of(("a", b"1"), ("b", b"2")).get_as_string() == "1"


def test_an_input_without_content_is_empty() -> None:
    empty = input_of(("data", b""))

    assert empty.is_empty()
    assert empty.get_as_bytes() is None
    assert empty.get_batches() == [empty]
    assert (empty.is_batch(), empty.get_batch_size()) == (False, 1)


def test_properties_are_found_in_any_case() -> None:
    made = input_of(**{"Content-Type": "text/plain"})

    assert made.get_property("content-type") == "text/plain"
    assert made.get_property("other") is None


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        ("application/json; charset=utf-8", b"[1]", [1]),
        ("text/plain", b"caf\xc3\xa9", "caf\u00e9"),
        ("other", b"\xff", b"\xff"),
    ],
)
def test_data_is_what_the_content_type_says(kind: str, body: bytes, found: Any) -> None:
    assert input_of(("data", body), **{"content-type": kind}).get_data() == found


def test_what_is_no_text_is_not_decoded() -> None:
    with pytest.raises(ValueError, match="tensor/npz"):
        input_of(("data", b"x"), **{"content-type": "tensor/npz"}).get_data()


def test_rows_of_csv_have_their_names() -> None:
    rows = input_of(("data", b"a,b\n1,2\n")).get_as_csv()

    assert rows == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("text", b"text"),
        (b"\xff", b"\xff"),
        (bytearray(b"\x00"), b"\x00"),
        ({"a": [1, "\u00e9"]}, '{\n  "a":[\n    1,\n    "\u00e9"\n  ]\n}'.encode()),
        (None, b"null"),
        (numpy.array([1, 2]), b"[\n  1,\n  2\n]"),
        (numpy.float32(0.5), b"0.5"),
        (datetime.datetime(2026, 1, 2), b'"2026-01-02 00:00:00"'),
        ("", b""),
    ],
    ids=str,
)
def test_what_is_added_is_sent(value: Any, sent: bytes) -> None:
    assert data_of(Output().add(value)) == sent


def test_data_goes_before_what_was_added_before() -> None:
    output = Output().add("a", key="other").add("b", key="data")

    assert data_of(output) == b"b"


def test_an_output_of_a_batch_of_one_is_sent() -> None:
    output = Output().add("a", key="data", batch_index=0)

    assert output.content.get_keys() == ["batch_0.data"]
    assert data_of(output) == b"a"


def test_an_error_has_djls_body() -> None:
    output = Output().error("why")

    assert (output.code, output.message) == (424, "invoke handler failure")
    assert output.get_property("content-type") == "application/json"
    body = {"code": 424, "message": "invoke handler failure", "error": "why"}
    assert json.loads(data_of(output)) == body


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Output().add_as_json(float("nan"))


def test_methods_can_be_chained() -> None:
    output = Output(201, "made").set_code(202).set_message("m").add_property("a", "b")

    assert (output.code, output.message, output.properties) == (202, "m", {"a": "b"})
    assert output.finalize(int, "7").execute_finalize() == 7


def test_pairs_keep_their_order_and_no_empty_value() -> None:
    pairs = PairList()
    for key, value in (("a", b"1"), ("b", b""), ("a", b"2")):
        pairs.add(key, value)

    assert (pairs.get_keys(), pairs.get_values()) == (["a", "a"], [b"1", b"2"])
    assert (pairs.get("a"), pairs.get("b"), pairs.size()) == (b"1", None, 2)
    assert (pairs.key_at(1), pairs.value_at(1)) == ("a", b"2")
