"""Token bytes: what one token adds to a text, exactly.

A token may be a part of a character, which no text shows. How its vocabulary writes
bytes is read off the decoder of the tokenizer's library: byte-level (GPT-2's alphabet)
and sentencepiece's (a mark for a space, `<0xNN>` for a byte) are known, any other is
asked for the text of the token alone.
"""

import json
import re
from collections.abc import Callable
from typing import Any

_SPACE = "\u2581"  # sentencepiece's mark
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_PRINTED = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}


def _alphabet() -> dict[str, int]:
    """GPT-2's: a byte that prints is its own character, the others come in order from
    U+0100 on."""
    hidden = [byte for byte in range(256) if byte not in _PRINTED]
    moved = {chr(256 + place): byte for place, byte in enumerate(hidden)}
    return {chr(byte): byte for byte in _PRINTED} | moved


_BYTES = _alphabet()


class TokenBytes:
    """Of one tokenizer; what was asked for is kept. Thread-safe."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._added = {
            token: added.content.encode()
            for token, added in tokenizer.added_tokens_decoder.items()
        }
        kinds = _kinds(tokenizer)
        self._read: Callable[[int], bytes] = self._alone
        if "ByteLevel" in kinds:
            self._read = self._byte_level
        elif "ByteFallback" in kinds or "Metaspace" in kinds:
            self._read = self._sentencepiece
        self._known: dict[int, bytes] = {}

    def of(self, token: int) -> bytes:
        """Empty for an id that is nobody's. Raises what the library does."""
        if token not in self._known:
            added = self._added.get(token)
            self._known[token] = self._read(token) if added is None else added
        return self._known[token]

    def _byte_level(self, token: int) -> bytes:
        written = self._written(token)
        if not all(character in _BYTES for character in written):
            return written.encode()
        return bytes(_BYTES[character] for character in written)

    def _sentencepiece(self, token: int) -> bytes:
        written = self._written(token)
        if byte := _BYTE.fullmatch(written):
            return bytes([int(byte[1], 16)])
        return written.replace(_SPACE, " ").encode()

    def _written(self, token: int) -> str:
        """As the vocabulary has it."""
        written = self._tokenizer.convert_ids_to_tokens(token)
        return written if isinstance(written, str) else ""

    def _alone(self, token: int) -> bytes:
        text = self._tokenizer.decode([token], clean_up_tokenization_spaces=False)
        return str(text).encode()


def _kinds(tokenizer: Any) -> set[str]:
    """The parts of the library's decoder; none for one that is pure Python."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    if decoder is None:
        return set()
    said: dict[str, Any] = json.loads(decoder.__getstate__())
    parts = said.get("decoders", ()) if said.get("type") == "Sequence" else (said,)
    return {str(part.get("type")) for part in parts}
