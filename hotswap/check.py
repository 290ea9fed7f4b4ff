"""Check: what `hotswap check` says of one adapter folder."""

from pathlib import Path

import msgspec

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.folder_check import report
from hotswap.adapters.report import text
from hotswap.config import Config
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.load import load
from hotswap.options import unless_auto
from hotswap.start import model_folder


def run(settings: Config, adapter: Path, *, as_json: bool) -> int:
    """Print it; the exit status. Raises StartFailed for the model."""
    chosen = settings.model
    loaded = load(
        chosen.path,
        unless_auto(chosen.dtype),
        unless_auto(chosen.device),
        model_folder(settings),
    )
    runner = EagerExecutor(loaded, slots=1, kv_tokens=1)
    found = report(
        adapter, runner.layout, tokenizers=AdapterTokenizers(loaded.tokenizer)
    )
    print(msgspec.json.encode(found).decode() if as_json else text(adapter, found))
    return 0 if found.ok else 1
