"""Checkpoint layout: what adapters have to fit, from the model's files alone.

vLLM has the weights, fused and cut over its devices. What adapters say is of the
modules of transformers, so these are made hollow, and golden is read from the files
when somebody looks at it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from hotswap.adapters.layout import Layout
from hotswap.errors import StartFailed
from hotswap.model.weights.mergeable import head_path, is_mergeable

_INDEX = "model.safetensors.index.json"
_ONE = "model.safetensors"


def checkpoint_layout(
    folder: Path, skeleton: PreTrainedModel, dtype: torch.dtype, name: str
) -> Layout:
    """`dtype`: that vLLM computes in. Raises StartFailed without safetensors."""
    files = _files(folder)
    keys = {name: name for name in files} | _tied_keys(skeleton, files)
    linear = {
        path: _out_in(module)
        for path, module in skeleton.named_modules()
        if is_mergeable(module)
    }
    return Layout(
        linear=linear,
        others=frozenset(
            path for path, _ in skeleton.named_modules() if path and path not in linear
        ),
        skeleton=skeleton,
        golden={
            path: parameters
            for path, module in skeleton.named_modules()
            if (parameters := _Parameters(path, module, files, keys, dtype))
        },
        base=name,
    )


class _Parameters(Mapping[str, torch.Tensor]):
    """Of one module, by name; read when asked for."""

    def __init__(
        self,
        path: str,
        module: torch.nn.Module,
        files: Mapping[str, Path],
        keys: Mapping[str, str],
        dtype: torch.dtype,
    ) -> None:
        self._keys = {
            name: keys[f"{path}.{name}"]
            for name, _ in module.named_parameters(recurse=False)
            if f"{path}.{name}" in keys
        }
        self._files, self._dtype = files, dtype

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, name: str) -> torch.Tensor:
        key = self._keys[name]
        with safe_open(self._files[key], framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(key)
        return tensor.to(self._dtype)


def _files(folder: Path) -> dict[str, Path]:
    """Where each tensor is, by its name."""
    index = folder / _INDEX
    try:
        if index.is_file():
            names: Mapping[str, str] = json.loads(index.read_bytes())["weight_map"]
            return {tensor: folder / file for tensor, file in names.items()}
        with safe_open(folder / _ONE, framework="pt") as file:
            return dict.fromkeys(file.keys(), folder / _ONE)
    except Exception as error:  # whatever strange files do to the library
        raise StartFailed(
            f"model {folder}: vLLM's executor takes safetensors ({error})"
        ) from None


def _tied_keys(skeleton: PreTrainedModel, files: Mapping[str, Path]) -> dict[str, str]:
    """The head's tensor is the embedding's where it has none of its own."""
    head, table = head_path(skeleton), skeleton.get_input_embeddings()
    (embedding,) = (
        path for path, module in skeleton.named_modules() if module is table
    )
    mine, its = f"{head}.weight", f"{embedding}.weight"
    return {mine: its} if mine not in files and its in files else {}


def _out_in(module: torch.nn.Module) -> tuple[int, int]:
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    out, inner = weight.shape
    return (out, inner) if isinstance(module, torch.nn.Linear) else (inner, out)
