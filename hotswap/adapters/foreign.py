"""Foreign: what a folder is when it is not an adapter of PEFT's for this kind of model.

A sentence that says what it is and what to do, in place of what is missing in it.
Only what cannot be anything else is named.
"""

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.adapters.settings import LORA, refused
from hotswap.errors import AdapterRefused
from hotswap.short_thread import at_disk

_LFS = b"version https://git-lfs"
_MLX = (
    "it is an adapter of mlx-lm, whose files PEFT cannot read: convert it to PEFT's "
    "format (transposed factors under lora_A and lora_B, alpha = scale * rank), or "
    "fuse it and serve the fused model"
)
_IMAGES = (
    "it is a LoRA of diffusers or kohya (lora_down, lora_up), for image models: only "
    "adapters of language models are served"
)
_SENSES = (
    "it changes the part of a larger model that sees or hears; its text model alone is "
    "served here, so train an adapter without it"
)
_HEAD = (
    "it is the head of a classifier; only text generation (task_type CAUSAL_LM) is "
    "served, where the model keeps its own head"
)
_WHOLE = (
    "it is a whole model, perhaps one with an adapter merged into it: serve it as "
    "MODEL, or save the adapter alone with PEFT's save_pretrained"
)
_EMPTY = (
    "is empty: DeepSpeed ZeRO-3 keeps the weights elsewhere while it trains; gather "
    "them before saving (stage3_gather_16bit_weights_on_model_save, or zero_to_fp32.py)"
)
_PARTS = "its weights are in several files: save them as one (PEFT's save_pretrained)"
_PICKLE = (
    "it is a pickle, which is never opened: save the adapter as safetensors (PEFT's "
    "save_pretrained does)"
)
_HEAD_PARTS = frozenset(("score", "classifier", "qa_outputs"))
_SENSE_PARTS = frozenset(
    "vision_tower vision_model visual audio_tower multi_modal_projector".split()
)
# How many of a folder's entries are looked at
_ENTRIES = 1000


def check_pointer(name: str, raw: bytes) -> None:
    """Raises AdapterRefused for what Git LFS leaves in place of a file."""
    if raw.startswith(_LFS):
        raise AdapterRefused(
            "lfs_pointer",
            f"{name} is a pointer of Git LFS and not the file: run `git lfs pull` "
            "where it comes from",
        )


def check_config(fields: Mapping[str, object]) -> None:
    """Raises AdapterRefused for what another program writes under that name."""
    if "lora_parameters" in fields or "fine_tune_type" in fields:
        raise refused("foreign", _MLX)
    if "architectures" in fields:
        raise refused("foreign", _WHOLE)


def explained(error: AdapterRefused, folder: Path) -> AdapterRefused:
    """The same refusal of a missing file, and what the folder has in its place."""
    if error.code not in ("no_config", "no_weights"):
        return error
    what = _instead(_names(folder))
    if what is None or "No such file" not in error.reason:
        return error
    return AdapterRefused(error.code, f"{error.reason}; {what}")


def check_tensors(
    kind: str, shapes: Mapping[str, tuple[int, ...]], modules: Iterable[str]
) -> None:
    """By the names of a file's tensors. Raises AdapterRefused.

    `modules`: the paths of the model's.
    """
    known = {part for path in modules for part in path.split(".")}
    is_whole = kind == LORA and not any("lora" in key.lower() for key in shapes)
    for key, shape in shapes.items():
        parts = key.split(".")
        reason = None
        if parts[-1] in ("lora_a", "lora_b"):
            reason = f"{key}: {_MLX}"
        elif {"lora_down", "lora_up"} & set(parts) or "unet" in parts[0]:
            reason = f"{key}: {_IMAGES}"
        elif _HEAD_PARTS & (set(parts) - known):
            reason = f"{key}: {_HEAD}"
        elif _SENSE_PARTS & (set(parts) - known):
            reason = f"{key}: {_SENSES}"
        elif is_whole:
            reason = f"it has no tensor of LoRA's, but {key}: {_WHOLE}"
        if reason is not None:
            raise AdapterRefused("foreign", f"{WEIGHTS_FILE}: {reason}")
        if 0 in shape:
            raise AdapterRefused("missing_tensor", f"{WEIGHTS_FILE}: {key} {_EMPTY}")


def _names(folder: Path) -> list[str]:
    try:
        with at_disk(), os.scandir(folder) as entries:
            return sorted(entry.name for entry in islice(entries, _ENTRIES))
    except OSError:
        return []


def _instead(names: list[str]) -> str | None:
    for name in names:
        what = _file(name)
        if what is not None:
            return f"{name}: {what}"
    return None


def _file(name: str) -> str | None:
    """What a file or folder is that lies where an adapter's files are missing."""
    of_images = name.startswith("pytorch_lora_weights.")
    in_parts = name.startswith("adapter_model-0") or name.endswith(".index.json")
    whole = name.startswith("model") and name.endswith(".safetensors")
    pickled = name.endswith((".bin", ".pt", ".pth"))
    kinds = (
        (name in ("adapters.safetensors", "adapters.npz"), _MLX),
        (of_images, _IMAGES),
        (in_parts, _PARTS),
        (whole, _WHOLE),
        (pickled, _PICKLE),
        (name.startswith("checkpoint-"), "one of a training's: name it in full"),
    )
    return next((what for is_it, what in kinds if is_it), None)
