"""Unloaded: a model whose weights somebody else loads - its files, tokenizer, shape."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hotswap.adapters.base_name import base_name
from hotswap.adapters.layout import hollowed
from hotswap.error_boundary import said
from hotswap.errors import StartFailed
from hotswap.model.hub import fetched_from_hub
from hotswap.model.load import convert_gguf, ends_of, most_context
from hotswap.model.model_path import check, is_hub_id
from hotswap.sources.location import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Unloaded:
    """`skeleton`: the model as transformers builds it, hollow. `context`: how many
    tokens it was made for. `eos`: ids that end text."""

    folder: Path
    name: str
    tokenizer: PreTrainedTokenizerBase
    skeleton: PreTrainedModel
    context: int
    eos: frozenset[int]


def unloaded(source: str, fetched: Path | None) -> Unloaded:
    """`fetched`: where the files are, if `source` is a URL. Raises StartFailed with one
    line that names what is wrong."""
    check(source)
    name, folder = _folder(source, fetched)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        skeleton = _hollow_model(folder)
    except Exception as error:  # whatever strange files do to the libraries
        raise StartFailed(f"model {name}: {said(error)}") from error
    return Unloaded(
        folder=folder,
        name=name,
        tokenizer=tokenizer,
        skeleton=skeleton,
        context=most_context(skeleton),
        eos=ends_of(skeleton, tokenizer),
    )


def _folder(source: str, fetched: Path | None) -> tuple[str, Path]:
    """The model's name, and where its files are."""
    if fetched is not None:
        return parse(source).name, fetched
    path = Path(source).expanduser()
    if path.suffix == ".gguf":
        path = convert_gguf(path)
    elif is_hub_id(source):
        path = fetched_from_hub(source)
    return base_name(source), path


def _hollow_model(folder: Path) -> PreTrainedModel:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return hollowed(model.eval())
