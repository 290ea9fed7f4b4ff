"""Random models of Llama's shapes, made on the device; adapters and executors for them.

Random weights take as long as trained ones, and nothing has to travel.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from benchmarks.gpu.setting import Setting
from hotswap.adapters.generation import Delta, Generation
from hotswap.model.executor_choice import ModelExecutor, choose_executor
from hotswap.model.machine.kernels import kernels_for
from hotswap.model.network.loaded import Loaded

RANK = 16
_SIZES = {
    "1b": (128256, 2048, 8192, 16, 32, 8, 64, True),
    "8b": (128256, 4096, 14336, 32, 32, 8, 128, False),
    "tiny": (260, 64, 128, 2, 4, 2, 16, True),
}


def config_of(shape: str) -> LlamaConfig:
    vocab, hidden, inner, layers, heads, kv_heads, width, tied = _SIZES[shape]
    return LlamaConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=width,
        tie_word_embeddings=tied,
        max_position_embeddings=8192,
        eos_token_id=0,
        bos_token_id=0,
    )


def load_random(shape: str, setting: Setting) -> Loaded:
    """bfloat16 on a GPU, float32 on a CPU."""
    shape = "tiny" if setting.tiny else shape
    config = config_of(shape)
    dtype = torch.bfloat16 if setting.is_cuda else torch.float32
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.to(dtype)  # type: ignore[arg-type]  # a decorator hides its types
    model.to_empty(device=setting.device)
    model.tie_weights()
    model.model.rotary_emb = LlamaRotaryEmbedding(config).to(setting.device)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.02)
            else:
                parameter.fill_(1.0)
    model.train(False).requires_grad_(False)
    return Loaded(
        model=model,
        tokenizer=_tokenizer(config.vocab_size),
        name=shape,
        context=config.max_position_embeddings,
        eos=frozenset(),
        kernels=kernels_for(dtype, setting.device),
    )


def make_executor(
    loaded: Loaded,
    *,
    slots: int,
    max_batch: int,
    prefill_tokens: int,
    kv_tokens: int | None = None,
) -> ModelExecutor:
    """The one that a server would take, its graphs captured."""
    return choose_executor(
        loaded,
        slots=slots,
        kv_tokens=kv_tokens,
        budget_bytes=None,
        max_batch=max_batch,
        prefill_tokens=prefill_tokens,
    )


def adapters(executor: ModelExecutor, count: int) -> list[Generation]:
    """Of rank 16 on all linear modules but the head. All say the same, in bfloat16:
    that takes no longer and no less, and one is quick to make."""
    random = torch.Generator().manual_seed(0)
    deltas = {
        path: Delta(
            a=torch.randn(RANK, columns, generator=random).bfloat16(),
            b=torch.randn(rows, RANK, generator=random).bfloat16(),
            scale=1e-3,
        )
        for path, (rows, columns) in executor.layout.linear.items()
        if path != executor.head
    }
    held = executor.held(Generation(key="", deltas=deltas))  # as a server holds it
    return [replace(held, key=f"a{n:03}") for n in range(count)]


def own(generations: Sequence[Generation], job: int) -> Generation | None:
    """The job's own of these, in turn; none: base."""
    return generations[job % len(generations)] if generations else None


def _tokenizer(vocab: int) -> PreTrainedTokenizerFast:
    words = models.WordLevel({f"w{n}": n for n in range(vocab)}, unk_token="w0")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token="w0"
    )
