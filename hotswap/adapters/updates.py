"""Updates: an adapter's tensors -> low-rank updates if that is all they are, else
rewrites."""

from collections.abc import Mapping

import torch
from peft import PeftConfig

from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.generation import Delta, Rewrite
from hotswap.adapters.keys import PREFIX
from hotswap.adapters.layout import Layout
from hotswap.adapters.low_rank import deltas, is_low_rank
from hotswap.adapters.peft_config import more_than_low_rank
from hotswap.adapters.rewrites import PeftMerge
from hotswap.adapters.settings import LORA
from hotswap.adapters.tensors import without_copies
from hotswap.adapters.tuners import rewrites
from hotswap.errors import AdapterRefused


def updates(
    config: PeftConfig, tensors: Mapping[str, torch.Tensor], layout: Layout
) -> tuple[dict[str, Delta], dict[str, Rewrite], str | None]:
    """Low-rank updates if that is all there is, else rewrites and why."""
    more = [str(config.peft_type.value)]
    if config.peft_type == LORA:
        more = more_than_low_rank(vars(config))
        if more == ["modules_to_save"] and _are_saved(config, tensors, layout):
            more = []  # for as long as they are copies
        factors = without_copies(tensors, layout)
        if not more and is_low_rank(factors):
            made = deltas(config, factors, layout)
            if not any(
                d.scale and bool(d.b.any()) and bool(d.a.any()) for d in made.values()
            ):
                raise AdapterRefused(
                    "zero_effect",
                    f"every update in {WEIGHTS_FILE} is zero: it is untrained",
                )
            return made, {}, None
        tensors = without_copies(tensors, layout, ".base_layer.")
    why = ", ".join(more) or "more than linear modules"
    return {}, rewrites(config, tensors, layout), f"merged only: {why}"


def _are_saved(
    config: PeftConfig, tensors: Mapping[str, torch.Tensor], layout: Layout
) -> bool:
    """Whether the file holds every parameter of every module that it declares."""
    for module in config.modules_to_save or ():
        keys = [
            f"{PREFIX}{path}.{name}"
            for path, parameters in layout.golden.items()
            if f".{module}." in f".{path}."
            for name in parameters
        ]
        if not keys or not all(key in tensors for key in keys):
            return False
    return True


def prove(others: Mapping[str, Rewrite], layout: Layout) -> None:
    """One layer of each kind computes merged what it computes unmerged."""
    seen: set[str] = set()
    for path, rewrite in others.items():
        if isinstance(rewrite, PeftMerge) and rewrite.kind not in seen:
            seen.add(rewrite.kind)
            rewrite.prove(layout.golden[path])


def absent_targets(config: PeftConfig, layout: Layout) -> tuple[str, ...]:
    """Every tensor has its place, so they were none of this adapter's: PEFT passes
    them over, too."""
    targets = config.target_modules
    names = [f".{name}" for name in (*layout.linear, *layout.others)]
    absent = [
        target
        for target in (() if isinstance(targets, str) else sorted(targets or ()))
        if not any(name.endswith(f".{target}") for name in names)
    ]
    if not absent:
        return ()
    return (f"{CONFIG_FILE}: no module matches the targets {', '.join(absent)}",)
