"""Mergeable: the modules of a transformers model that a `Linear` can stand for."""

from torch import nn
from transformers.pytorch_utils import Conv1D


def is_mergeable(module: nn.Module) -> bool:
    # Exact types: a subclass (quantised, sharded) may compute something else.
    return type(module) is nn.Linear or type(module) is Conv1D


def head_of(model: nn.Module) -> nn.Module | None:
    """The output head, whose rows are those that want logits."""
    getter = getattr(model, "get_output_embeddings", None)
    head = getter() if getter else None
    return head if isinstance(head, nn.Module) else None


def head_path(model: nn.Module) -> str:
    """Of the output head; "" if there is none."""
    head = head_of(model)
    return next((path for path, m in model.named_modules() if m is head), "")
