"""Llguidance grammar: what an answer may look like, compiled by the library llguidance.

The only module that imports the library, which the extra `structured` brings: loaded by
name, by `grammar_compiler`. Sources are strangers': they are compiled within the
library's own limits, and whatever it raises is an error of the request. It gives the
interpreter's lock up while it compiles and while it fills a mask.
"""

import json
from collections.abc import Callable, Set
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, grammar_from

from hotswap.error_boundary import error_boundary
from hotswap.errors import BadRequest, HotswapError, StepFailed
from hotswap.grammar import Matcher
from hotswap.tokenizer import Tokenizer

# The library's defaults but for the states, of 2 kB each, that a grammar may keep: ten
# times fewer, and a hundred times what a schema of a public suite needs.
_LIMITS = LLParserLimits(max_lexer_states=25_000, verbose_errors=False)
# A model that has begun to write spaces may never end: more than any indentation.
_SPACES = r"[ \n\r\t]{1,64}"
# Characters. A mask within a text costs time in proportion to all of it: 2 ms for so
# many, and each of a request's copies fills one at every step.
_MOST_TEXT = 1 << 12  # of one text, or pattern, in a schema or a list of choices
_MOST_PATTERN = 1 << 14  # of an expression, or a grammar
_MOST_SAID = 300  # characters of the library's reason
# What it says in the words of its own code
_PLAIN = dict.fromkeys(("NoExtensionBias", "NoExtension"), "no answer fits it")


class Vocabulary:
    """What the library makes of one tokenizer: half a second and 30 MB for 49,152
    tokens. Shared by threads."""

    def __init__(self, tokenizer: Tokenizer, ends: Set[int], field: str) -> None:
        """`ends`: the tokens that end an answer. Raises BadRequest, naming `field`."""
        backend = getattr(tokenizer.inner, "backend_tokenizer", None)
        if backend is None:
            raise BadRequest("this model's tokenizer is not one for grammars", field)
        known = sorted(end for end in ends if end < tokenizer.tokens)
        if not known:
            raise BadRequest("this model has no token that ends an answer", field)
        with error_boundary(_cannot("the tokenizer is not one for grammars", field)):
            self.inner = LLTokenizer(backend.to_str(), eos_token=known)
        self.words = (self.inner.vocab_size + 31) // 32

    def is_special(self, token: int) -> bool:
        """Whether no text holds it. Unknown ones are none."""
        return token < self.inner.vocab_size and self.inner.is_special_token(token)


class CompiledGrammar:
    """A grammar of one vocabulary: each matcher is a copy that has read nothing."""

    def __init__(
        self, vocabulary: Vocabulary, kind: str, source: str, field: str
    ) -> None:
        """`kind`, `source`: as a `GrammarSpec` has them. Takes up to a few seconds.

        Raises BadRequest with the library's reason, naming `field`.
        """
        self._vocabulary = vocabulary
        with error_boundary(_cannot("the grammar cannot be used", field)):
            longest, most = _longest(kind, source)
            if longest > most:
                raise ValueError(f"a text of more than {most} characters is too dear")
            text = _FORMS[kind](source)
            self._start = LLMatcher(vocabulary.inner, text, log_level=0, limits=_LIMITS)
            _check(self._start, field)
            # Some limits are met by the first mask only.
            first = np.zeros(vocabulary.words, np.int32)
            LlguidanceMatcher(vocabulary, self._start).fill(first)
            _check(self._start, field)

    def matcher(self) -> Matcher:
        return LlguidanceMatcher(self._vocabulary, self._start.deep_copy())


class LlguidanceMatcher:
    def __init__(self, vocabulary: Vocabulary, inner: LLMatcher) -> None:
        self._inner = inner
        self._own = np.zeros(vocabulary.words, np.int32)

    def fill(self, mask: Any) -> None:
        """All zeros: it met a limit of the library."""
        mask = np.asarray(mask)
        mask[:] = 0
        try:
            with error_boundary(StepFailed):
                self._inner.unsafe_compute_mask_ptr(
                    self._own.ctypes.data, self._own.nbytes
                )
        except HotswapError:
            return
        # The library would end the answer, wherever it is.
        if not self._inner.is_error():
            least = min(len(mask), len(self._own))
            mask[:least] = self._own[:least]

    def accept(self, token: int) -> bool:
        return not self._inner.is_error() and self._inner.consume_token(token)


def _check(matcher: LLMatcher, field: str) -> None:
    if matcher.is_error():
        said = matcher.get_error().replace("<non-verbose/>", "")
        text = " ".join(said.split())[:_MOST_SAID]
        raise BadRequest(f"`{field}`: {_PLAIN.get(text, text)}", field)


def _cannot(what: str, field: str) -> Callable[[str], HotswapError]:
    return lambda said: BadRequest(f"`{field}`: {what}: {said}", field)


def _longest(kind: str, source: str) -> tuple[int, int]:
    """Characters of the longest text in it, and how many it may have."""
    if kind in ("regex", "grammar"):
        return len(source), _MOST_PATTERN
    try:
        left = [json.loads(source)]
    except ValueError:
        return 0, _MOST_TEXT  # the library says what is wrong
    longest = 0
    while left:
        match left.pop():
            case str(text):
                longest = max(longest, len(text))
            case list(items):
                left += items
            case dict(items):
                left += [*items, *items.values()]
    return longest, _MOST_TEXT


def _schema(source: str) -> str:
    return LLMatcher.grammar_from_json_schema(
        source, defaults={"whitespace_pattern": _SPACES}
    )


def _choice(source: str) -> str:
    """Of a JSON list of texts: Lark writes a text as JSON does."""
    alternatives = " | ".join(map(json.dumps, json.loads(source)))
    return LLMatcher.grammar_from_lark(f"start: {alternatives}")


_FORMS: dict[str, Callable[[str], str]] = {
    "json_object": lambda source: _schema(source or '{"type":"object"}'),
    "json_schema": _schema,
    "regex": LLMatcher.grammar_from_regex,
    "choice": _choice,
    # Lark's form, or GBNF (llama.cpp's), which vLLM calls EBNF.
    "grammar": lambda source: grammar_from("grammar", source),
}
