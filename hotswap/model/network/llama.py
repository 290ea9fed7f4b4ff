"""Llama: the decoder of Llama, Mistral and Qwen2 as one chain of operations.

It computes what transformers' modules compute, from their own weights, over the
`Operations` of a device. At load its logits are proven to be transformers' own;
otherwise another pass serves the model.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from torch import Tensor, nn
from transformers import PreTrainedModel

from hotswap.model.network.operations import AttentionShape, Operations
from hotswap.model.weights.mergeable import head_of, is_mergeable

StepT = TypeVar("StepT")
_CLASSES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")


class Llama(Generic[StepT]):
    """Keeps what it needs of the model's tensors."""

    def __init__(self, model: PreTrainedModel, operations: Operations[StepT]) -> None:
        inner = model.model
        head = head_of(model)
        assert isinstance(head, nn.Module)
        self._operations = operations
        self._embedding = inner.embed_tokens.weight  # a slot may put another into it
        self._layers = [
            _Layer(index, layer, operations) for index, layer in enumerate(inner.layers)
        ]
        self._norm = operations.norm(inner.norm)
        self._head = operations.head("lm_head", head)

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """Whether the architecture is one of ours; the proof at load shows the rest."""
        return (
            type(model).__name__ in _CLASSES
            and model.config.hidden_act == "silu"
            and all(
                is_mergeable(module)
                for path, module in model.named_modules()
                if path.endswith("_proj") or path == "lm_head"
            )
        )

    def __call__(self, step: StepT) -> Tensor:
        """Logits [rows that want them, vocab]. Writes the KV."""
        x = self._operations.embed(self._embedding, step)
        for layer in self._layers:
            x = layer(x, step)
        return self._head.rows(self._norm(self._operations.last(x, step)))


class _Layer(Generic[StepT]):
    def __init__(self, index: int, layer: Any, operations: Operations[StepT]) -> None:
        path, attention, mlp = f"model.layers.{index}", layer.self_attn, layer.mlp

        def inside(prefix: str, module: Any, *names: str) -> Mapping[str, nn.Module]:
            return {f"{path}.{prefix}.{name}": getattr(module, name) for name in names}

        qkv = inside("self_attn", attention, "q_proj", "k_proj", "v_proj")
        (gate,) = inside("mlp", mlp, "gate_proj").items()
        (up,) = inside("mlp", mlp, "up_proj").items()
        self._norm = operations.norm(layer.input_layernorm)
        self._qkv = operations.linear(qkv)
        self._attend = operations.attention(index, _shape(attention))
        self._o = operations.linear(inside("self_attn", attention, "o_proj"))
        self._mlp_norm = operations.norm(layer.post_attention_layernorm)
        self._gate_up = operations.gate_up(gate, up)
        self._down = operations.linear(inside("mlp", mlp, "down_proj"))

    def __call__(self, x: Tensor, step: StepT) -> Tensor:
        """[tokens, hidden] -> the same."""
        x = self._o.add(self._attend(self._qkv.rows(self._norm(x)), step), x)
        return self._down.add(self._gate_up(self._mlp_norm(x)), x)


def _shape(attention: Any) -> AttentionShape:
    head_dim = int(attention.head_dim)
    # Qwen2 says it of each layer, Mistral of the model, Llama nowhere.
    of_model = getattr(attention.config, "sliding_window", None)
    return AttentionShape(
        heads=attention.q_proj.out_features // head_dim,
        kv_heads=attention.k_proj.out_features // head_dim,
        head_dim=head_dim,
        scaling=float(attention.scaling),
        window=getattr(attention, "sliding_window", of_model),
    )
