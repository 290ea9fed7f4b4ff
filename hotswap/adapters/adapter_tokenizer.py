"""AdapterTokenizers: the model's, and those that adapter folders bring.

A folder's is used if it differs: it knows tokens that were added, or has another chat
template. Its files are data: they are copied to a place of their own and read there,
so that nothing else of the folder is looked at, and no code in it is ever imported.
"""

import hashlib
import tempfile
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hotswap.adapters.file_names import (
    TEMPLATE_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    TOKENIZER_FILES,
)
from hotswap.adapters.files import is_short, read_file, without_places
from hotswap.adapters.tokenizer_pipeline import Json, checked, parsed
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused, BadRequest, NoRenderer, StepFailed
from hotswap.tokenizer import Tokenizer

_CODE = "bad_tokenizer"
_MOST_TEMPLATE = 1 << 18  # characters
_PROBE = "A probe, 42 words: caf\u00e9 \u4f60\u597d \U0001f642\n\n\tx  "


class AdapterTokenizers:
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
        if not files:
            return None
        key = _digest(files, tokens)
        found = self._known.get(key)
        if found is None:
            made = self._make(files, key, tokens)
            with self._lock:  # who was the first made it for all
                found = self._known.setdefault(key, made)
        return None if found is self._model else found

    def tried(self, own: Tokenizer | None, template: str | None) -> tuple[str, ...]:
        """What to warn of: a stranger's chat template that a plain message is too much
        for. `template`: one that goes before the tokenizer's.

        No more than that: completions need no template, and a template may refuse
        what its users would never say.
        """
        tokenizer = own or self._model
        if template is None and tokenizer.template is None:
            return ()
        try:
            tokenizer.render([{"role": "user", "content": "Hi."}], template)
        except (BadRequest, NoRenderer) as error:
            return (f"a chat of one plain message fails: {error}",)
        return ()

    def _make(self, files: Mapping[str, bytes], key: str, tokens: int) -> Tokenizer:
        model = self._model.inner
        if TOKENIZER_FILE in files:
            inner, template = self._load(files)
        else:  # it speaks as the model does, perhaps in another form
            inner, template = model, _template(files)
        if template == model.chat_template:
            template = None
        if _state(inner) == self._state:
            if template is None:
                return self._model
            # A large vocabulary takes 100 MB, and it is the model's.
            return Tokenizer(model, key=key, template=template)
        with error_boundary(_broken):
            made = Tokenizer(inner, key=key, tokens=tokens, template=template)
            _probe(made)
            return made

    def _load(
        self, files: Mapping[str, bytes]
    ) -> tuple[PreTrainedTokenizerBase, str | None]:
        """A folder's tokenizer, without its chat template, and that template."""
        raw = checked(parsed(files[TOKENIZER_FILE]), self._pipeline)
        with tempfile.TemporaryDirectory(prefix="hotswap-") as place:
            for name, content in {**files, TOKENIZER_FILE: raw}.items():
                (Path(place) / name).write_bytes(content)
            try:
                with error_boundary(_broken):
                    made: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                        place, trust_remote_code=False, local_files_only=True
                    )
                    template = made.get_chat_template() if made.chat_template else None
            except AdapterRefused as error:
                error.is_passing = is_short(error.__cause__)
                raise
        if template is not None:
            _check_template(template)
        # Else the model's own is used, which is rendered as the model's.
        made.chat_template = self._model.inner.chat_template
        return made, template

    @cached_property
    def _pipeline(self) -> Json:
        """The model's own, as tokenizer.json has it."""
        backend = getattr(self._model.inner, "backend_tokenizer", None)
        return parsed(backend.to_str().encode()) if backend else {}


def _read(folder: Path) -> dict[str, bytes]:
    found = {
        name: read_file(folder, name, most, code=_CODE)
        for name, most in TOKENIZER_FILES.items()
    }
    return {name: content for name, content in found.items() if content is not None}


def _template(files: Mapping[str, bytes]) -> str | None:
    """The chat template of a folder that has no tokenizer."""
    try:
        if TEMPLATE_FILE in files:
            return _check_template(files[TEMPLATE_FILE].decode())
        if TOKENIZER_CONFIG_FILE not in files:
            return None
        said = msgspec.json.decode(files[TOKENIZER_CONFIG_FILE])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"the chat template cannot be read: {error}") from None
    found = said.get("chat_template") if isinstance(said, dict) else None
    if isinstance(found, list):  # several, by name
        named = [one for one in found if isinstance(one, dict)]
        found = next(
            (t.get("template") for t in named if t.get("name") == "default"), None
        )
    return _check_template(found) if found else None


def _check_template(template: object) -> str:
    if not isinstance(template, str) or len(template) > _MOST_TEMPLATE:
        raise _refused(
            f"the chat template is no text of at most {_MOST_TEMPLATE} characters"
        )
    return template


def _probe(tokenizer: Tokenizer) -> None:
    """Some mistakes show only in use. Raises AdapterRefused."""
    try:
        ids = tokenizer.encode(_PROBE)
        tokenizer.encode(_PROBE, is_whole=True)
        for token in ids:
            tokenizer.decode([token])
        tokenizer.decode(ids)
    except (BadRequest, StepFailed) as error:
        raise _broken(str(error)) from None


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


def _broken(said: str) -> AdapterRefused:
    return _refused(f"{TOKENIZER_FILE}: {said}")


def _refused(reason: str) -> AdapterRefused:
    return AdapterRefused(_CODE, without_places(reason))
