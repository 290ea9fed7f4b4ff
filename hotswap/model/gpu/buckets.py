"""Buckets: the few shapes that steps are filled up to, so that few graphs serve all.

Unused rows write no KV and are attended by nobody.
"""

from bisect import bisect_left
from typing import Literal, NamedTuple

_DECODE = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256)  # sequences
_RAGGED = (64, 128, 256, 512)  # tokens
LARGEST = _RAGGED[-1]
# Beyond, a step computes for so long that launching it costs nothing. Multiples of
# this, because kernels are compiled and products chosen for divisible sizes.
_TILE = 64


class Bucket(NamedTuple):
    """`decode`: one row of each sequence, and each wants logits; `ragged`: any rows.

    `tokens`, `sequences`: how many there is room for; `sequences` bounds the rows that
    want logits, too.
    """

    kind: Literal["decode", "ragged"]
    tokens: int
    sequences: int

    @property
    def is_graphed(self) -> bool:
        """Whether it is one of the few."""
        return self.tokens in (_DECODE if self.kind == "decode" else _RAGGED)


def room_for(sequences: int) -> int:
    """How many sequences the largest bucket has room for, if steps have so many."""
    if sequences <= _DECODE[-1]:
        return _DECODE[bisect_left(_DECODE, sequences)]
    return -(-sequences // _TILE) * _TILE


def bucket_of(
    tokens: int, sequences: int, *, is_decode: bool, most_sequences: int
) -> Bucket:
    """The smallest that has room. `most_sequences`: of any step, a `room_for`."""
    if is_decode and tokens <= _DECODE[-1]:
        room = room_for(tokens)
        return Bucket("decode", room, room)
    if tokens <= _RAGGED[-1]:
        room = _RAGGED[bisect_left(_RAGGED, tokens)]
    else:
        room = -(-tokens // _TILE) * _TILE
    return Bucket("ragged", room, min(room, most_sequences))


def graphed_buckets(most_sequences: int) -> list[Bucket]:
    """All that a server can meet with steps of so many sequences, the largest first:
    the memory of those that follow is then there already."""
    found = {Bucket("decode", n, n) for n in _DECODE if n <= most_sequences}
    found |= {Bucket("ragged", n, min(n, most_sequences)) for n in _RAGGED}
    return sorted(found, key=lambda bucket: (-bucket.tokens, bucket.kind))
