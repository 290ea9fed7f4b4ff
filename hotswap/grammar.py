"""Grammar: what an answer may look like, as samplers see it. Whoever compiles one knows
the library."""

from typing import Protocol

import numpy as np


class Matcher(Protocol):
    """One job's place in its grammar. Not thread-safe; `fill` may run on any thread."""

    def fill(self, mask: np.ndarray) -> None:
        """Write which tokens may come next into `mask` [ceil(vocab / 32)] int32: the
        bit `token % 32` of word `token // 32`. All zeros never happens: where the
        answer is complete, the tokens that end it are allowed."""

    def accept(self, token: int) -> None:
        """`token` was sampled; it was allowed."""


class Grammar(Protocol):
    """Compiled for one tokenizer. Shared by jobs and threads."""

    def matcher(self) -> Matcher:
        """At the beginning of an answer."""
