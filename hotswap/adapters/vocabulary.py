"""Vocabulary: an adapter that was trained with tokens added to the model's own.

Its file then holds the whole resized embedding, or names the added rows as trainable
tokens; the skeleton is resized to take them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from peft import PeftConfig
from torch import nn
from transformers import PreTrainedModel

from hotswap.adapters.keys import PREFIX
from hotswap.adapters.layout import hollow
from hotswap.errors import AdapterRefused


def known_tokens(model: PreTrainedModel) -> int:
    """For how many the model has weights, often some more than have a meaning."""
    return int(_ends(model)[0].weight.shape[0])


def added_tokens(
    model: PreTrainedModel, config: PeftConfig, tensors: Mapping[str, torch.Tensor]
) -> int:
    """How many the adapter knows beyond the model's own.

    Raises AdapterRefused for a token that neither the model nor the adapter has.
    """
    embedding, head = _ends(model)
    tokens = known_tokens(model)
    trained = set(_token_indices(config))
    rows = [t.shape[0] for t in _whole(model, (embedding, head), tensors)]
    wanted = max([tokens, *rows, *(index + 1 for index in trained)])
    if not rows and not trained.issuperset(range(tokens, wanted)):
        raise AdapterRefused(
            "missing_tensor",
            f"the adapter knows {wanted} tokens and the model {tokens}, but the file "
            "does not hold what the added ones are",
        )
    return wanted - tokens


def resize(
    model: PreTrainedModel, config: PeftConfig, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Give a hollow model as many tokens as the adapter knows. Mutates `model`.

    Raises AdapterRefused as `added_tokens`.
    """
    added = added_tokens(model, config, tensors)
    if not added:
        return
    embedding, head = _ends(model)
    wanted = embedding.weight.shape[0] + added
    tied = head is not None and head.weight is embedding.weight
    embedding.weight = hollow((wanted, embedding.embedding_dim))
    embedding.num_embeddings = wanted
    if head is not None:
        head.weight = embedding.weight if tied else hollow((wanted, head.in_features))
        head.out_features = wanted
        if head.bias is not None:
            head.bias = hollow((wanted,))


def _ends(model: PreTrainedModel) -> tuple[Any, Any]:
    """The embedding and the head, if it has one; transformers does not type them."""
    inner: Any = model
    return inner.get_input_embeddings(), inner.get_output_embeddings()


def _token_indices(config: PeftConfig) -> Iterator[int]:
    for field in ("trainable_token_indices", "token_indices"):
        given = getattr(config, field, None) or []
        for found in given.values() if isinstance(given, dict) else [given]:
            yield from found


def _whole(
    model: PreTrainedModel,
    modules: tuple[nn.Module | None, ...],
    tensors: Mapping[str, torch.Tensor],
) -> Iterator[torch.Tensor]:
    """Those of the file's tensors that are a whole embedding or head."""
    paths = [path for path, module in model.named_modules() if module in modules]
    for path in paths:
        for suffix in (".weight", ".base_layer.weight", ".modules_to_save.weight"):
            found = tensors.get(f"{PREFIX}{path}{suffix}")
            if found is not None and found.dim() == 2:
                yield found
