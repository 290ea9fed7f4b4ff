"""Text in, tokens out, and back: encoding, chat, incremental detokenising, stops.

Text is streamed exactly as it will be returned whole: a character whose bytes are
spread over tokens is held back until it is complete, and so is any text that may yet
turn out to be the beginning of a stop string.
"""

from collections.abc import Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from hotswap.errors import BadRequest

_BROKEN = "\ufffd"  # what a decoder writes for bytes that make no character (yet)


class Tokenizer:
    """Thread-safe for reading: the event loop encodes, the engine thread decodes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Token ids as the model was trained to see a plain text."""
        return list(self._tokenizer(text).input_ids)

    def checked(self, ids: list[int], field: str) -> list[int]:
        """`ids` as they are, if the model has them all. Raises BadRequest."""
        size = len(self._tokenizer)
        for token in ids:
            if token >= size:
                raise BadRequest(f"`{field}`: there is no token {token}", field)
        return ids

    def encode_chat(
        self, messages: list[dict[str, str]], template: str | None = None
    ) -> list[int]:
        """Token ids of a conversation in a template, or in the model's own.

        transformers renders it in a sandbox. Raises BadRequest.
        """
        if not (template or self._tokenizer.chat_template):
            raise BadRequest(
                "this model has no chat template: use /v1/completions", "messages"
            )
        try:
            text = self._tokenizer.apply_chat_template(
                messages,
                chat_template=template,
                add_generation_prompt=True,
                tokenize=False,
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise BadRequest(f"the chat template says: {error}", "messages") from None
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        text = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text


class Detokenizer:
    """Turns one job's tokens into text as they come.

    Decodes a short window twice, with and without the new tokens, and emits the
    difference: the way of Hugging Face's text-generation-inference, which is right for
    byte-level and for sentencepiece vocabularies because both decodings start alike.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0  # window [start, read) was emitted, [read, end) was not
        self._read = 0

    def push(self, token: int) -> str:
        """Text that became certain with this token; never half a character."""
        self._ids.append(token)
        before = self._tokenizer.decode(self._ids[self._start : self._read])
        after = self._tokenizer.decode(self._ids[self._start :])
        if len(after) <= len(before) or after.endswith(_BROKEN):
            return ""  # nothing, or a tail that later bytes may complete
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]

    def flush(self) -> str:
        """What is left when no more tokens come: possibly a broken character."""
        before = self._tokenizer.decode(self._ids[self._start : self._read])
        after = self._tokenizer.decode(self._ids[self._start :])
        self._start = self._read = len(self._ids)
        return after[len(before) :]


class StopStrings:
    """Cuts a stream of text before the stop string that is complete first.

    Of two that end together the longer one counts, so the cut does not depend on how
    the text was divided into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Text that is certain to come before any stop, and whether one was met."""
        if not self._stops:
            return text, False
        self._held += text
        found = [(self._held.find(s), len(s)) for s in self._stops if s in self._held]
        if found:
            start, _ = min(found, key=lambda f: (f[0] + f[1], f[0]))
            before, self._held = self._held[:start], ""
            return before, True
        keep = max(_overlap(self._held, stop) for stop in self._stops)
        cut = len(self._held) - keep
        certain, self._held = self._held[:cut], self._held[cut:]
        return certain, False

    def flush(self) -> str:
        """What was held back for a stop that never came."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
