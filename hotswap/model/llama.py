"""Llama: the decoder of Llama, Mistral and Qwen2 as one chain of fused operations.

It computes what transformers' modules compute, from their own weights, in a third of
the operations: one product for q, k and v; silu, product and residual sums inside the
products they follow; the rotation as one multiply-add. `forward_choice`
proves at load that its logits are transformers' own; otherwise `attention_interface`
serves the model.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.eager.linear import Linear
from hotswap.model.eager.ragged_batch import Inputs
from hotswap.model.machine.kernels import Kernels
from hotswap.model.weights.mergeable import head_of, is_mergeable

_CLASSES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: nn.Parameter  # the module's own: a slot may put another tensor into it
    eps: torch.Tensor  # [1] float32

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """As transformers' RMS norm, in five operations; `F.rms_norm` takes nine."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.addcmul(self.eps, norm, norm, value=1 / x.shape[-1]).rsqrt_()
        return (x * scale).to(x.dtype) * self.weight


class Llama:
    """A `ragged_batch.Network`. Keeps what it needs of the model's tensors."""

    def __init__(
        self, model: PreTrainedModel, lora: BatchedLora, kernels: Kernels
    ) -> None:
        inner = model.model
        head = head_of(model)
        assert isinstance(head, nn.Module)
        self._embedding = inner.embed_tokens.weight  # as a norm's
        self._rotary = inner.rotary_emb
        self._norm = _norm(inner.norm)
        self._layers = [
            _Layer(f"model.layers.{index}", layer, lora, kernels)
            for index, layer in enumerate(inner.layers)
        ]
        self._head = Linear({"lm_head": head}, kernels, lora, is_head=True)
        self.linears = [
            *(linear for layer in self._layers for linear in layer.linears),
            self._head,
        ]

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """Whether the architecture is one of ours; `forward_choice` proves the rest."""
        return (
            type(model).__name__ in _CLASSES
            and model.config.hidden_act == "silu"
            and all(
                is_mergeable(module)
                for path, module in model.named_modules()
                if path.endswith("_proj") or path == "lm_head"
            )
        )

    def __call__(self, inputs: Inputs) -> torch.Tensor:
        x = F.embedding(inputs.ids, self._embedding)
        cos, sin = self._rotary(x[None], inputs.positions[None])
        half = cos.shape[-1] // 2
        # rotate_half(x) * sin is roll(x) * sin with the first half's sign turned
        sin = torch.cat((-sin[..., :half], sin[..., half:]), -1)
        cos, sin = cos[0, :, None], sin[0, :, None]
        for index, layer in enumerate(self._layers):
            x = layer(index, x, cos, sin, inputs)
        x = self._norm(x.index_select(0, inputs.last))
        return self._head.rows(x)


class _Layer:
    def __init__(
        self, path: str, layer: Any, lora: BatchedLora, kernels: Kernels
    ) -> None:
        attention, mlp = layer.self_attn, layer.mlp

        def linear(inside: Any, prefix: str, *names: str) -> Linear:
            modules = {f"{path}.{prefix}.{n}": getattr(inside, n) for n in names}
            return Linear(modules, kernels, lora)

        self._qkv = linear(attention, "self_attn", "q_proj", "k_proj", "v_proj")
        self._o = linear(attention, "self_attn", "o_proj")
        self._gate = linear(mlp, "mlp", "gate_proj")
        self._up = linear(mlp, "mlp", "up_proj")
        self._down = linear(mlp, "mlp", "down_proj")
        self.linears = (self._qkv, self._o, self._gate, self._up, self._down)
        self._norm = _norm(layer.input_layernorm)
        self._mlp_norm = _norm(layer.post_attention_layernorm)
        self._head_dim = int(attention.head_dim)
        self._scaling = float(attention.scaling)
        # Qwen2 says it of each layer, Mistral of the model, Llama nowhere.
        of_model = getattr(attention.config, "sliding_window", None)
        self._window: int | None = getattr(attention, "sliding_window", of_model)
        self._queries = attention.q_proj.out_features // self._head_dim
        keys = attention.k_proj.out_features // self._head_dim
        self._rotated = self._queries + keys  # heads that are turned: q and k

    def __call__(
        self,
        index: int,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        inputs: Inputs,
    ) -> torch.Tensor:
        """[tokens, hidden] -> the same."""
        heads = self._qkv.rows(self._norm(x)).view(x.shape[0], -1, self._head_dim)
        qk, v = heads[:, : self._rotated], heads[:, self._rotated :]
        qk = torch.addcmul(qk * cos, qk.roll(self._head_dim // 2, -1), sin)
        attended = inputs.attention.attend(
            index,
            qk[:, : self._queries],
            qk[:, self._queries :],
            v,
            scaling=self._scaling,
            window=self._window,
        ).reshape(x.shape[0], -1)
        x = self._o.add(attended, x)
        h = self._mlp_norm(x)
        return self._down.add(self._up.mul(h, self._gate.silu(h)), x)


def _norm(module: Any) -> _Norm:
    weight = module.weight
    eps = torch.tensor([float(module.variance_epsilon)], device=weight.device)
    return _Norm(weight, eps)
