"""Tokenizers: the model's, and those that adapter folders bring.

A folder's is used if it differs: it knows tokens that were added, or has another chat
template. Its files are data: they are copied to a place of their own and read there,
so that nothing else of the folder is looked at, and no code in it is ever imported.
"""

import copy
import hashlib
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from weakref import WeakValueDictionary

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hotswap.adapters.files import read_file, without_places
from hotswap.errors import AdapterRefused
from hotswap.tokenizer import Tokenizer

TOKENIZER_FILE = "tokenizer.json"  # a folder without it brings no tokenizer
# All that is looked at, and how many bytes each may have
FILES = {
    TOKENIZER_FILE: 1 << 27,
    "tokenizer_config.json": 1 << 24,
    "special_tokens_map.json": 1 << 24,
    "added_tokens.json": 1 << 24,
    "chat_template.jinja": 1 << 20,
}
_CODE = "bad_tokenizer"


class Tokenizers:
    """For any thread. Folders with the same files get the same tokenizer, for as
    long as somebody holds it: those of one training script rarely differ."""

    def __init__(self, model: PreTrainedTokenizerBase) -> None:
        self._model = Tokenizer(model)
        self._state = _state(model)
        self._known: WeakValueDictionary[str, Tokenizer] = WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, folder: Path, tokens: int) -> Tokenizer | None:
        """The folder's own; None is the model's.

        `tokens`: as many does the model know with the adapter. Raises AdapterRefused.
        """
        files = _read(folder)
        if TOKENIZER_FILE not in files:
            return None
        key = _digest(files, tokens)
        found = self._known.get(key)
        if found is None:
            made = self._make(files, key, tokens)
            with self._lock:  # who was the first made it for all
                found = self._known.setdefault(key, made)
        return None if found is self._model else found

    def _make(self, files: Mapping[str, bytes], key: str, tokens: int) -> Tokenizer:
        inner, model = _load(files), self._model.inner
        template = inner.chat_template or model.chat_template
        if _state(inner) == self._state:
            if template == model.chat_template:
                return self._model
            inner = copy.copy(model)  # shares the vocabulary: a large one takes 100 MB
        inner.chat_template = template
        return Tokenizer(inner, key=key, tokens=tokens)


def _read(folder: Path) -> dict[str, bytes]:
    found = {
        name: read_file(folder, name, most, code=_CODE) for name, most in FILES.items()
    }
    return {name: content for name, content in found.items() if content is not None}


def _load(files: Mapping[str, bytes]) -> PreTrainedTokenizerBase:
    with tempfile.TemporaryDirectory(prefix="hotswap-") as place:
        for name, content in files.items():
            (Path(place) / name).write_bytes(content)
        try:
            made: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                place, trust_remote_code=False, local_files_only=True
            )
            made("a")  # some mistakes show only in use
        except Exception as error:
            # Whatever a stranger's files do to the libraries: the adapter is refused.
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise _refused(f"{TOKENIZER_FILE}: {text}") from None
    return made


def _state(tokenizer: PreTrainedTokenizerBase) -> tuple[str | None, object]:
    """All that decides about tokens: equal for equal ones, however they were saved."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None, object()  # pure Python: equal to none
    # What a trainer set for its batches; transformers undoes it at the first use.
    backend.no_truncation()
    backend.no_padding()
    text = hashlib.sha256(backend.to_str().encode()).hexdigest()
    return text, tokenizer.eos_token_id


def _digest(files: Mapping[str, bytes], tokens: int) -> str:
    digest = hashlib.sha256(str(tokens).encode())
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def _refused(reason: str) -> AdapterRefused:
    return AdapterRefused(_CODE, without_places(reason))
