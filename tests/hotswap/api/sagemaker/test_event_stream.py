"""Frames are what botocore's own reader reads, of any size and in any pieces."""

from itertools import pairwise
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.api.djl.event_stream import (
    MOST_PAYLOAD,
    frame,
    model_stream_error,
    payload_parts,
)

NAMES = st.text(min_size=1, max_size=60).filter(lambda name: len(name.encode()) < 256)
VALUES = st.text(max_size=300)


def read(*pieces: bytes) -> list[Any]:
    buffer = EventStreamBuffer()
    for piece in pieces:
        buffer.add_data(piece)
    return list(buffer)


@given(st.dictionaries(NAMES, VALUES, max_size=8), st.binary(max_size=5000))
def test_a_frame_says_what_was_put_into_it(
    headers: dict[str, str], payload: bytes
) -> None:
    (message,) = read(frame(headers, payload))

    assert message.headers == headers
    assert message.payload == payload


@given(st.lists(st.binary(min_size=1, max_size=99), max_size=9), st.data())
def test_frames_in_any_pieces_are_the_same_parts(
    chunks: list[bytes], data: st.DataObject
) -> None:
    sent = b"".join(part for chunk in chunks for part in payload_parts(chunk))
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=9))
    places = [0, *sorted(cuts), len(sent)]

    messages = read(*(sent[a:b] for a, b in pairwise(places)))

    assert [message.payload for message in messages] == chunks
    assert {message.headers[":event-type"] for message in messages} <= {"PayloadPart"}


@pytest.mark.parametrize("over", [-1, 0, 1, MOST_PAYLOAD + 7])
def test_what_is_large_comes_in_several_parts(over: int) -> None:
    content = bytes(range(256)) * (MOST_PAYLOAD // 256 + 1)
    content = (content * 2)[: MOST_PAYLOAD + over]

    messages = read(*payload_parts(content))

    assert b"".join(message.payload for message in messages) == content
    assert max(len(message.payload) for message in messages) <= MOST_PAYLOAD
    assert len(messages) == -(-len(content) // MOST_PAYLOAD)


def test_the_longest_name_and_value_fit() -> None:
    headers = {"n" * 255: "v" * 65535}

    (message,) = read(frame(headers, b""))

    assert message.headers == headers


@settings(max_examples=30)
@given(st.text(max_size=2000))
def test_an_exception_is_an_error_to_the_reader(text: str) -> None:
    (message,) = read(model_stream_error(text))

    assert message.to_response_dict()["status_code"] == 400
    assert message.headers[":exception-type"] == "ModelStreamError"


@given(st.integers(0, 10**6))
def test_a_byte_that_is_changed_is_noticed(place: int) -> None:
    sent = bytearray(frame({"name": "value"}, b"payload"))
    # Beyond the lengths, of which a large one would be waited for.
    place = 8 + place % (len(sent) - 8)
    sent[place] ^= 1

    with pytest.raises(ChecksumMismatch):
        read(bytes(sent))
