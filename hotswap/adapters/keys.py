"""Keys: the tensors' names of a file that something renamed on its way, as PEFT writes
them.

torch.compile, DDP, FSDP and a model of text and images put words into every name, a
`state_dict()` saved by hand the adapter's own, and a script may leave out the prefix or
write it twice. They are taken for what they are only if that gives every tensor its
place in the model, and no two the same.
"""

from collections.abc import Mapping, Set

import torch

from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.adapters.layout import Layout

PREFIX = "base_model.model."
_ADDED = frozenset(
    "_orig_mod module _fsdp_wrapped_module _checkpoint_wrapped_module language_model "
    "default".split()
)


def renamed(
    tensors: Mapping[str, torch.Tensor], layout: Layout
) -> tuple[Mapping[str, torch.Tensor], tuple[str, ...]]:
    """The tensors under the names that PEFT gives them, and what to warn of."""
    modules = {*layout.linear, *layout.others}
    own = {part for module in modules for part in module.split(".")}
    added = _ADDED - own
    if all(_has_place(key, layout, added) for key in tensors):
        return tensors, ()
    made = {_plain(key, added): tensors[key] for key in sorted(tensors)}
    if len(made) < len(tensors) or not all(
        _has_place(key, layout, added) for key in made
    ):
        return tensors, ()
    old = min(tensors.keys() - made.keys())
    return made, (
        f"{WEIGHTS_FILE}: {old} is read as {_plain(old, added)}, all others alike",
    )


def _plain(key: str, added: Set[str]) -> str:
    parts = [part for part in key.split(".") if part not in added]
    while parts[:2] == ["base_model", "model"]:
        parts = parts[2:]
    name = ".".join(parts)
    # Tensors that all modules share lie beside the model.
    return name if name.startswith("base_model.") else PREFIX + name


def _has_place(key: str, layout: Layout, added: Set[str]) -> bool:
    """Whether it is a tensor of a module with weights, or of all modules."""
    parts = key.split(".")
    if not added.isdisjoint(parts):
        return False
    if not key.startswith(PREFIX):
        return key.startswith("base_model.")
    path = parts[2:]
    return any(".".join(path[:end]) in layout.golden for end in range(1, len(path)))
