"""Checkpoint: a PEFT adapter folder -> a checked Generation, or AdapterRefused.

Nothing is guessed and nothing is skipped: a tensor that no module takes, a module
without its tensors, a setting that merging would get wrong, all refuse the folder.
Only safetensors is read; a pickle is never opened. Knows no names, no slots.
"""

import hashlib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from peft import PeftConfig
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from hotswap.adapters.deltas import Delta, Generation, Rewrite
from hotswap.adapters.fidelity import merge_loss
from hotswap.adapters.files import read_file
from hotswap.adapters.layout import Layout
from hotswap.adapters.low_rank import PREFIX, deltas, is_low_rank
from hotswap.adapters.peft_config import (
    CONFIG_FILE,
    LORA,
    more_than_low_rank,
    parse,
)
from hotswap.adapters.rewrites import Merged
from hotswap.adapters.tuners import rewrites
from hotswap.adapters.vocabulary import added_tokens, known_tokens
from hotswap.errors import AdapterRefused
from hotswap.tokenizer import Tokenizer

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "Layout", "Limits", "read"]

WEIGHTS_FILE = "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
_MOST_CONFIG_BYTES = 1 << 20
_LEAST_LIMIT = 1 << 26  # a tiny model's adapter may be larger than the model
_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_INDICES = (torch.int64, torch.int32, torch.int16, torch.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an adapter may be; None is without limit, and so are no `targets`: names
    in which the path of each module that it changes has to end. Without `max_bytes` its
    file may have as many as the whole model in float32.

    Above `max_merge_loss` it is served mixed only. `other_base`: what it means if the
    adapter says that it was trained on another model.
    """

    max_rank: int | None = None
    max_bytes: int | None = None
    max_merge_loss: float = 0.5
    targets: tuple[str, ...] = ()
    other_base: Literal["warn", "refuse"] = "warn"


def read(folder: Path, layout: Layout, limits: Limits | None = None) -> Generation:
    """Read and check one folder. Raises AdapterRefused; never half a generation."""
    limits = limits or Limits()
    raw_config, raw_weights = _read_files(folder, layout, limits)
    config, warnings = parse(raw_config)
    warnings += _check_base(config, layout, limits)
    _check_rank(config, limits)
    tensors = _tensors(raw_weights, config)
    made, others, note = _updates(config, tensors, layout)
    _check_targets({*made, *others}, limits)
    added = added_tokens(layout.skeleton, config, tensors) if others else 0
    tokenizer, warned = _tokenizer(folder, layout, added)
    warnings += warned
    try:
        _prove(others, layout)
        loss = merge_loss(made, others, layout)
    except (RuntimeError, LookupError, ValueError, ArithmeticError) as error:
        # Values that PEFT cannot compute with: an index out of range, no inverse.
        raise AdapterRefused(
            "not_mergeable", f"PEFT cannot merge it: {error}"
        ) from None
    if loss > limits.max_merge_loss:
        lost = f"merged into {_dtype(layout)} it would lose {loss:.0%} of its update"
        if others:
            raise AdapterRefused("merge_loss", f"{lost}, and it cannot run mixed")
        note = f"mixed only: {lost}"
    written_in = tokenizer.key.encode() if tokenizer else b""
    digest = hashlib.sha256(raw_config + raw_weights + written_in).hexdigest()
    return Generation(
        key=digest[:16],
        deltas=made,
        rewrites=others,
        can_merge=loss <= limits.max_merge_loss,
        note=note,
        merge_loss=loss,
        warnings=warnings,
        tokenizer=tokenizer,
    )


def _read_files(folder: Path, layout: Layout, limits: Limits) -> tuple[bytes, bytes]:
    config = read_file(folder, CONFIG_FILE, _MOST_CONFIG_BYTES, code="no_config")
    if config is None:
        raise AdapterRefused("no_config", f"{CONFIG_FILE}: No such file or directory")
    most = limits.max_bytes or _most_bytes(layout)
    key = "`max_bytes` under [adapters]"
    weights = read_file(folder, WEIGHTS_FILE, most, code="no_weights", key=key)
    if weights is not None:
        return config, weights
    hint = ""
    if (folder / _PICKLE).is_file():
        hint = f"; {_PICKLE} is a pickle, which is never opened"
    raise AdapterRefused(
        "no_weights", f"{WEIGHTS_FILE}: No such file or directory{hint}"
    )


def _most_bytes(layout: Layout) -> int:
    """What a file of updates can sensibly be."""
    numbers = sum(p.numel() for ps in layout.golden.values() for p in ps.values())
    return max(4 * numbers, _LEAST_LIMIT)


def _tokenizer(
    folder: Path, layout: Layout, added: int
) -> tuple[Tokenizer | None, tuple[str, ...]]:
    """The folder's own, and what to know of it."""
    tokens = known_tokens(layout.skeleton) + added
    own = layout.tokenizers.of(folder, tokens) if layout.tokenizers else None
    if own is None and added:
        return None, (
            f"it has {added} tokens that the model's tokenizer does not know: they "
            "can neither be written in a prompt nor read in an answer",
        )
    if own is not None and own.unknown:
        return own, (
            f"its tokenizer has {own.unknown} tokens for which there are no weights: "
            "they cannot be written in a prompt",
        )
    return own, ()


def _tensors(raw: bytes, config: PeftConfig) -> dict[str, torch.Tensor]:
    try:
        tensors: dict[str, torch.Tensor] = load_safetensors(raw)
    except SafetensorError as error:
        raise AdapterRefused(
            "bad_weights", f"{WEIGHTS_FILE} is not a whole safetensors file: {error}"
        ) from None
    if not tensors:
        raise AdapterRefused("missing_tensor", f"{WEIGHTS_FILE} holds no tensors")
    known = _DTYPES if config.peft_type == LORA else (*_DTYPES, *_INDICES)
    for key, tensor in tensors.items():
        if tensor.dtype not in known or not bool(torch.isfinite(tensor).all()):
            raise AdapterRefused(
                "not_finite", f"{key} holds NaN, infinity or {tensor.dtype}"
            )
    return tensors


def _updates(
    config: PeftConfig, tensors: Mapping[str, torch.Tensor], layout: Layout
) -> tuple[dict[str, Delta], dict[str, Rewrite], str | None]:
    """Low-rank updates if that is all there is, else rewrites and why."""
    more = [str(config.peft_type.value)]
    if config.peft_type == LORA:
        tensors = _without_copies(tensors, layout)
        more = more_than_low_rank(vars(config))
        if not more and is_low_rank(tensors):
            made = deltas(config, tensors, layout)
            if not any(
                d.scale and bool(d.b.any()) and bool(d.a.any()) for d in made.values()
            ):
                raise AdapterRefused(
                    "zero_effect",
                    f"every update in {WEIGHTS_FILE} is zero: it is untrained",
                )
            return made, {}, None
    why = ", ".join(more) or "more than linear modules"
    return {}, rewrites(config, tensors, layout), f"merged only: {why}"


def _without_copies(
    tensors: Mapping[str, torch.Tensor], layout: Layout
) -> dict[str, torch.Tensor]:
    """Less the base weights that PEFT saves along with an embedding or a head that it
    targets, if they are golden's own."""
    kept = {}
    for key, tensor in tensors.items():
        path, found, name = key.removeprefix(PREFIX).rpartition(".base_layer.")
        golden = layout.golden.get(path, {}).get(name) if found else None
        if golden is None or not torch.equal(tensor, golden.to("cpu", tensor.dtype)):
            kept[key] = tensor
    return kept


def _prove(others: Mapping[str, Rewrite], layout: Layout) -> None:
    """One layer of each kind computes merged what it computes unmerged."""
    seen: set[str] = set()
    for path, rewrite in others.items():
        if isinstance(rewrite, Merged) and rewrite.kind not in seen:
            seen.add(rewrite.kind)
            rewrite.prove(layout.golden[path])


def _check_rank(config: PeftConfig, limits: Limits) -> None:
    fields = vars(config)
    ranks = [fields.get("r"), *(fields.get("rank_pattern") or {}).values()]
    rank = max((r for r in ranks if isinstance(r, int)), default=0)
    if limits.max_rank is not None and rank > limits.max_rank:
        raise AdapterRefused(
            "rank_limit", f"{CONFIG_FILE}: rank {rank}; the limit is {limits.max_rank}"
        )


def _check_targets(paths: Set[str], limits: Limits) -> None:
    for path in sorted(paths) if limits.targets else ():
        if not any(f".{path}".endswith(f".{name}") for name in limits.targets):
            raise AdapterRefused(
                "target_forbidden",
                f"{path} may not be adapted here, only {', '.join(limits.targets)}",
            )


def _check_base(config: PeftConfig, layout: Layout, limits: Limits) -> tuple[str, ...]:
    """By the last part of the name: people keep the same model at many places."""
    said = (config.base_model_name_or_path or "").rstrip("/").rpartition("/")[2]
    ours, theirs = layout.base.lower(), said.lower()
    # A converted file has the quantisation behind a point: `Model.Q4_1`.
    if not ours or not theirs or ours == theirs or ours.startswith(f"{theirs}."):
        return ()
    what = f"it was trained on {said!r}, and this model is {layout.base!r}"
    if limits.other_base == "refuse":
        raise AdapterRefused("other_base", f"{CONFIG_FILE}: {what}")
    return (what,)


def _dtype(layout: Layout) -> str:
    golden = next(iter(layout.golden.values()))
    return str(next(iter(golden.values())).dtype).removeprefix("torch.")
