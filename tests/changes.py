"""Changes of an adapter folder on disk, one fault each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE

Change = Callable[[Path], None]
Tensors = dict[str, torch.Tensor]
PREFIX = "base_model.model."
Q = "model.layers.0.self_attn.q_proj"
A, B = f"{PREFIX}{Q}.lora_A.weight", f"{PREFIX}{Q}.lora_B.weight"


def config(**fields: Any) -> Change:
    def change(folder: Path) -> None:
        held = json.loads((folder / CONFIG_FILE).read_text())
        (folder / CONFIG_FILE).write_text(json.dumps({**held, **fields}))

    return change


def tensors(edit: Callable[[Tensors], Tensors]) -> Change:
    def change(folder: Path) -> None:
        held = edit(load_file(folder / WEIGHTS_FILE))
        save_file({n: t.contiguous() for n, t in held.items()}, folder / WEIGHTS_FILE)

    return change


def targets(names: str) -> Change:
    return config(target_modules=names.split())


def put(name: str, value: torch.Tensor) -> Change:
    return tensors(lambda held: {**held, name: value})


def drop(*names: str) -> Change:
    return tensors(lambda held: {n: t for n, t in held.items() if n not in names})


def each(edit: Callable[[torch.Tensor], torch.Tensor], which: str = "lora_") -> Change:
    def one(held: Tensors) -> Tensors:
        return {n: edit(t) if which in n else t for n, t in held.items()}

    return tensors(one)


def raw(name: str, content: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def cut(end: int) -> Change:
    def change(folder: Path) -> None:
        raw(WEIGHTS_FILE, (folder / WEIGHTS_FILE).read_bytes()[:end])(folder)

    return change


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()
