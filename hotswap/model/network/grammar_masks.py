"""Grammar masks: which tokens the grammars of a step's rows allow.

Filled on threads of their own while the pass runs, and sent packed, in one copy that
nobody waits for. A step without a grammar makes no mask and starts no thread.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import numpy as np
import torch

from hotswap.grammar import Matcher
from hotswap.model.network.upload import uploaded

_THREADS = 2  # a mask takes about 50 us; a hostile grammar's up to 50 ms

MaskOf = Callable[[torch.Tensor], torch.Tensor | None]
"""Of [n, vocab] logits the mask [n, vocab] bool, on their device: True is allowed."""


class GrammarMasks:
    """Owned by the engine thread."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._words = 1  # of a row; as the logits of the steps so far needed

    @contextmanager
    def filled(self, matchers: Sequence[Matcher | None]) -> Iterator[MaskOf]:
        """Begin to fill them. Of each row of a step its matcher, or None: such a row is
        all True, and a mask of only such rows is None.

        No thread uses a matcher any more when this is left.
        """
        if not any(matchers):
            yield lambda logits: None
            return
        filling = self._begin(matchers)

        def mask_of(logits: torch.Tensor) -> torch.Tensor:
            nonlocal filling
            words = -(-logits.shape[1] // 32)
            if words > self._words:  # at first, and where an adapter adds tokens
                filling.wait()
                self._words = words
                filling = self._begin(matchers)
            return _spread(filling.result(), logits)

        try:
            yield mask_of
        finally:
            filling.wait()

    def _begin(self, matchers: Sequence[Matcher | None]) -> "_Filling":
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="grammar")
        words = np.full((len(matchers), self._words), -1, np.int32)
        return _Filling(
            words,
            [
                self._threads.submit(matcher.fill, words[row])
                for row, matcher in enumerate(matchers)
                if matcher is not None
            ],
        )


class _Filling:
    """`words` [n, words] int32 are written until all is done."""

    def __init__(self, words: np.ndarray, futures: Sequence[Future[None]]) -> None:
        self._words, self._futures = words, futures

    def wait(self) -> None:
        wait(self._futures)

    def result(self) -> np.ndarray:
        """The words. Waits; raises what a matcher raised."""
        for future in self._futures:
            future.result()
        return self._words


def _spread(words: np.ndarray, logits: torch.Tensor) -> torch.Tensor:
    """[n, vocab] bool of [n, words] int32, where the logits are."""
    octets = uploaded(words.view(np.uint8), logits.device)
    places = torch.arange(8, dtype=torch.uint8, device=logits.device)
    bits = octets[..., None].bitwise_right_shift(places).bitwise_and_(1)
    return bits.flatten(1)[:, : logits.shape[1]].bool()
