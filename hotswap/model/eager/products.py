"""Products: what a step of a model computes, by the shapes of its weights."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hotswap.model.weights.mergeable import head_of, is_mergeable

# Of a weight with more elements so many are tried, of more shapes the heaviest.
ELEMENTS = 1 << 20
_SHAPES = 6


@dataclass(frozen=True, slots=True)
class Product:
    """Weights of one shape, and how many such products a step takes in all."""

    outputs: int
    inputs: int
    count: float
    is_head: bool


def products_of(model: PreTrainedModel) -> list[Product]:
    """What a step of the model computes; of a large weight only some outputs."""
    head = head_of(model)
    found: Counter[tuple[int, int, bool]] = Counter()
    for module in model.modules():
        if is_mergeable(module):
            outputs, inputs = cast(torch.Tensor, module.weight).shape
            if isinstance(module, Conv1D):
                outputs, inputs = inputs, outputs
            found[outputs, inputs, module is head] += 1
    products = []
    for (outputs, inputs, is_head), count in found.items():
        tried = min(outputs, max(1, ELEMENTS // inputs))
        products.append(Product(tried, inputs, count * outputs / tried, is_head))
    return sorted(products, key=lambda p: -p.count * p.outputs * p.inputs)[:_SHAPES]
