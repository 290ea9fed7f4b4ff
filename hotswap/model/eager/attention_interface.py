"""AttentionInterface: a transformers model as a network, with our attention in it.

Serves every architecture whose attention calls transformers' attention interface and
whose layers treat tokens independently otherwise; `forward_choice` proves it at load.
"""

import torch
from transformers import AttentionInterface, PreTrainedModel

from hotswap.model.eager.attention_choice import StepAttention
from hotswap.model.eager.ragged_batch import Inputs, Network

NAME = "hotswap"


def network(model: PreTrainedModel) -> Network:
    """The model's own forward pass. Mutates its attention implementation."""
    model.set_attn_implementation(NAME)

    def logits(inputs: Inputs) -> torch.Tensor:
        found = model(
            input_ids=inputs.ids[None],
            position_ids=inputs.positions[None],
            use_cache=False,
            logits_to_keep=inputs.last,
            step=inputs.attention,
        ).logits
        assert isinstance(found, torch.Tensor)
        return found[0]

    return logits


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    step: StepAttention,
    scaling: float | None = None,
    sliding_window: int | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    is_causal: bool | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """[1, heads, tokens, head_dim] -> [1, tokens, heads, head_dim]. Writes the KV."""
    if softcap is not None or s_aux is not None or is_causal is False:
        raise NotImplementedError("softcap, sinks or two-way attention")
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    out = step.attend(layer, q, k, v, scaling=scaling, window=sliding_window)
    return out[None], None


AttentionInterface.register(NAME, _attend)
