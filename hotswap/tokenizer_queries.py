"""Tokenizer queries: what clients ask of a tokenizer itself, and no job needs.

Whatever a stranger's tokenizer does to its library is an error of that request.
"""

from collections.abc import Sequence
from typing import Any

from hotswap.error_boundary import error_boundary
from hotswap.errors import BadRequest
from hotswap.tokenizer import Tokenizer

_MARKS = ("bos_token", "eos_token", "pad_token", "unk_token")


def with_places(
    tokenizer: Tokenizer, text: str, *, adds_special: bool
) -> list[tuple[int, int, int]]:
    """Tokens of a text, each with the characters it stands for: from, to. Those of a
    tokenizer that cannot tell are all at 0. Raises BadRequest."""
    with error_boundary(_unreadable):
        can_tell = tokenizer.inner.is_fast
        found = tokenizer.inner(
            text,
            add_special_tokens=adds_special,
            return_offsets_mapping=can_tell,
        )
        ids = list(found.input_ids)
        places = found["offset_mapping"] if can_tell else [(0, 0)] * len(ids)
        return [(i, int(a), int(b)) for i, (a, b) in zip(ids, places, strict=True)]


def vocabulary_names(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """How the vocabulary writes tokens, as vLLM tells them: a space may be `Ġ`."""
    with error_boundary(_unreadable):
        names = tokenizer.inner.convert_ids_to_tokens(list(ids))
        return [str(name) for name in names]


def text_of(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """With special tokens, as vLLM writes it. Raises BadRequest."""
    with error_boundary(_unreadable):
        text = tokenizer.inner.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text


def facts(tokenizer: Tokenizer, template: str | None) -> dict[str, Any]:
    """Class, special tokens and chat template, as tokenizer_config.json has them;
    `template` is one that goes before the tokenizer's."""
    with error_boundary(_unreadable):
        inner = tokenizer.inner
        special = inner.special_tokens_map.items()
        return {
            "tokenizer_class": type(inner).__name__,
            "vocab_size": len(inner),
            **dict.fromkeys(_MARKS),
            **{
                name: [str(each) for each in value]
                if isinstance(value, list)
                else str(value)
                for name, value in special
            },
            "chat_template": template or tokenizer.template or inner.chat_template,
        }


def _unreadable(said: str) -> BadRequest:
    return BadRequest(f"the tokenizer cannot do it: {said}")
