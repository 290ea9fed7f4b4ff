"""Past tokens: what jobs were given and have sampled, where the model computes.

On the device because the next step is launched before the host has seen the last token.
Only of jobs whose parameters look back: penalties, and bad words of several tokens.

How long an answer gets nobody knows: a job that fills its place gets one twice as
large, and where no place is left, all memory is made twice as large. A step in the air
may still read or write what is left behind. On one stream that is safe: a copy waits
for what was launched before it, and whoever gets the memory next writes it later.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from hotswap.model.network.upload import uploaded

_LEAST = 64  # tokens of a place


class Past:
    """One job's: first the prompt, where it counts, then the output."""

    def __init__(self, owner: "PastTokens", prompt: int, room: int) -> None:
        self.owner = owner
        self.prompt = prompt  # tokens of it that are here
        self.tokens = prompt  # here, those of the steps in the air among them
        self.room = room
        self.start = owner.take(room)  # where they are among all jobs'; see `reserve`

    def reserve(self) -> None:
        """See that one more token has room. May change where all of them are."""
        if self.tokens == self.room:
            start = self.owner.take(2 * self.room)
            self.owner.copy(self.start, start, self.tokens)
            self.close()
            self.start, self.room = start, 2 * self.room

    def close(self) -> None:
        self.owner.release(self.start, self.room)


class PastTokens:
    """Of all jobs. Memory is taken by the first of them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._free: defaultdict[int, list[int]] = defaultdict(list)  # starts, by room
        self._used = 0  # places were cut from as much
        # [all places] on the device; another tensor after a place was taken
        self.tokens = torch.empty(0, dtype=torch.int64, device=device)

    @torch.inference_mode()
    def open(self, prompt: Sequence[int]) -> Past:
        """`prompt`: the tokens that are there already."""
        room = max(_LEAST, 1 << len(prompt).bit_length())
        past = Past(self, len(prompt), room)
        if prompt:
            ids = uploaded(np.array(prompt, np.int64), self._device)
            self.tokens[past.start : past.start + len(prompt)] = ids
        return past

    @torch.inference_mode()
    def append(self, places: torch.Tensor, tokens: torch.Tensor) -> None:
        """Write sampled `tokens` [n] to `places` [n]. Mutates what all steps read that
        are launched later."""
        self.tokens.index_copy_(0, places, tokens)

    @torch.inference_mode()
    def take(self, room: int) -> int:
        """Where a place of so many tokens begins."""
        if self._free[room]:
            return self._free[room].pop()
        start, self._used = self._used, self._used + room
        if self._used > len(self.tokens):
            held, shape = self.tokens, (max(self._used, 2 * len(self.tokens)),)
            self.tokens = held.new_zeros(shape)
            self.tokens[: len(held)] = held
        return start

    @torch.inference_mode()
    def copy(self, start: int, to: int, count: int) -> None:
        self.tokens[to : to + count] = self.tokens[start : start + count]

    def release(self, start: int, room: int) -> None:
        """Nobody looks at that place in steps that are launched from now on."""
        self._free[room].append(start)
