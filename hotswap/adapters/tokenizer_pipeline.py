"""Tokenizer pipeline: what a folder's tokenizer.json may ask the library to do.

It is a program as well: its regular expressions run in an engine that backtracks, and
nothing can end the thread they run on. An adapter's vocabulary is the model's own and
tokens that were added, so its steps may be the model's and such as cost no more than
the text is long. Only what was looked at is loaded.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hotswap.errors import AdapterRefused

_STEPS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_MOST_STEPS = 200  # parts of all steps; a real tokenizer has some 30
_MOST_CONTENT = 16  # characters that a step may add
_MOST_TOKEN = 1000  # characters of one token
_MOST_WORD = 1000  # characters that WordPiece looks at at once: quadratic

Json = dict[str, Any]


def parsed(raw: bytes) -> Json:
    """Raises AdapterRefused."""
    try:
        made = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"is not JSON: {error}") from None
    if not isinstance(made, dict):
        raise _refused("is not an object")
    return made


def checked(theirs: Json, models: Json) -> bytes:
    """The file as it may be loaded: without what a trainer set for its batches.

    `models`: the model's own. Raises AdapterRefused.
    """
    kind, own = _of(theirs, "model").get("type"), _of(models, "model").get("type")
    if kind is not None and own is not None and kind != own:
        raise _refused(f"is a {kind} tokenizer, and the model's is {own}")
    if _number(_of(theirs, "model").get("max_input_chars_per_word")) > _MOST_WORD:
        raise _refused(f"looks at words of more than {_MOST_WORD} characters")
    for token in _tokens(theirs):
        if len(token) > _MOST_TOKEN:
            raise _refused(f"has a token of {len(token)} characters")
    known = [_canonical(step) for step in _steps(models)]
    steps = list(_steps(theirs))
    if len(steps) > _MOST_STEPS:
        raise _refused(f"has more than {_MOST_STEPS} parts of steps")
    regexes = {step["Regex"] for step in _steps(models) if "Regex" in step}
    for step in steps:
        if "Regex" in step and step["Regex"] not in regexes:
            raise _refused(
                f"has a regular expression that the model's has not, "
                f"{str(step['Regex'])[:100]!r}: it could take for ever"
            )
        if _grows(step) and _canonical(step) not in known:
            raise _refused(
                f"has a step {str(step.get('type'))[:50]!r} that makes texts longer, "
                "and the model's has not"
            )
    return msgspec.json.encode({**theirs, "truncation": None, "padding": None})


def _steps(tokenizer: Json) -> Iterator[Json]:
    """Every object in the steps."""
    todo = [tokenizer.get(name) for name in _STEPS]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield part
            todo += part.values()
        elif isinstance(part, list):
            todo += part


def _tokens(tokenizer: Json) -> Iterator[str]:
    vocabulary = _of(tokenizer, "model").get("vocab")
    added = tokenizer.get("added_tokens")
    for one in vocabulary if isinstance(vocabulary, dict | list) else ():
        token = one[0] if isinstance(one, list) and one else one  # with its score
        if isinstance(token, str):
            yield token
    for one in added if isinstance(added, list) else ():
        if isinstance(one, dict) and isinstance(one.get("content"), str):
            yield one["content"]


def _grows(step: Json) -> bool:
    """Whether it may make much more of a text than there was."""
    if step.get("precompiled_charsmap"):
        return True
    if step.get("type") == "Replace":
        pattern, content = step.get("pattern"), step.get("content")
        plain = pattern.get("String") if isinstance(pattern, dict) else None
        return len(str(content)) > (len(plain) if isinstance(plain, str) else 0)
    added = [v for k, v in step.items() if isinstance(v, str) and k in _ADDED]
    return any(len(text) > _MOST_CONTENT for text in added)


# Where steps have a text of their own to write
_ADDED = {"prepend", "replacement", "suffix", "prefix", "word_delimiter_token"}


def _canonical(step: Json) -> bytes:
    return msgspec.json.encode(step, order="sorted")


def _of(tokenizer: Json, name: str) -> Mapping[str, Any]:
    found = tokenizer.get(name)
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0


def _refused(reason: str) -> AdapterRefused:
    return AdapterRefused("bad_tokenizer", f"tokenizer.json: it {reason}")
