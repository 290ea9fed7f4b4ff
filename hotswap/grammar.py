"""Grammar: what an answer may look like, as samplers see it. Whoever compiles one knows
the library."""

from typing import Any, Protocol


class Matcher(Protocol):
    """One job's place in its grammar. Not thread-safe; `fill` may run on any thread."""

    def fill(self, mask: Any) -> None:
        """Write which tokens may come next into `mask` [words] int32, an array of
        numpy's or of Python's own: the bit
        `token % 32` of word `token // 32`; whatever its length, tokens of no meaning
        are 0. Where the answer is complete, the tokens that end it are allowed. All
        zeros: the grammar has become too dear to follow."""

    def accept(self, token: int) -> bool:
        """`token` was sampled. False: the grammar does not allow it, because it allows
        none any more."""


class Grammar(Protocol):
    """Compiled for one tokenizer. Shared by jobs and threads."""

    def matcher(self) -> Matcher:
        """At the beginning of an answer."""
