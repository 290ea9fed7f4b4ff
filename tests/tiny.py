"""Tiny random models, a byte tokenizer, and PEFT adapters for them, made in the test.

PEFT and transformers make everything here, so they are the oracle, not us.
"""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

VOCAB = 260
EOS = 256
HEAD_DIM = 12
_SIZES = {
    "vocab_size": VOCAB,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": EOS,
    "bos_token_id": 257,
    "pad_token_id": EOS,
}


def model(
    architecture: str, *, tied: bool = False, head_dim: int = HEAD_DIM
) -> PreTrainedModel:
    """A float32 model with weights large enough for attention to matter."""
    torch.manual_seed(0)
    made = _make(architecture, tied, head_dim)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.12)
            else:  # biases and norms: away from their neutral start
                parameter.add_(torch.randn_like(parameter) * 0.1)
    made.train(False)
    return made


def _make(architecture: str, tied: bool, head_dim: int) -> PreTrainedModel:
    sizes: dict[str, Any] = {
        **_SIZES,
        "tie_word_embeddings": tied,
        "hidden_size": 4 * head_dim,
        "head_dim": head_dim,
    }
    match architecture:
        case "llama":
            return LlamaForCausalLM(LlamaConfig(**sizes))
        case "qwen2":
            return Qwen2ForCausalLM(Qwen2Config(**sizes))
        case "mistral":  # a window shorter than the prompts
            return MistralForCausalLM(MistralConfig(**sizes, sliding_window=4))
        case "gemma2":  # softcap: runs row by row
            sizes |= {"sliding_window": 4, "query_pre_attn_scalar": head_dim}
            return Gemma2ForCausalLM(Gemma2Config(**sizes))
        case "gpt2":
            return GPT2LMHeadModel(
                GPT2Config(
                    vocab_size=VOCAB,
                    n_embd=4 * head_dim,
                    n_layer=2,
                    n_head=4,
                    n_positions=512,
                    eos_token_id=EOS,
                    bos_token_id=257,
                )
            )
        case "bloom":  # ALiBi, no attention interface: runs row by row
            return BloomForCausalLM(
                BloomConfig(
                    vocab_size=VOCAB,
                    hidden_size=4 * head_dim,
                    n_layer=2,
                    n_head=4,
                    eos_token_id=EOS,
                    bos_token_id=257,
                    pad_token_id=EOS,
                )
            )
    raise AssertionError(architecture)


TARGETS = {
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"],
    "qwen2": ["q_proj", "v_proj", "up_proj"],
    "mistral": ["q_proj", "o_proj", "gate_proj"],
    "gemma2": ["q_proj", "v_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "bloom": ["query_key_value", "dense_4h_to_h"],
}
INNER = {"gpt2": "transformer.h", "bloom": "transformer.h"}


def adapted(
    base: PreTrainedModel, seed: int, strength: float = 0.3, **config: Any
) -> PeftModel:
    """`base` with a random, non-zero adapter on it. Mutates `base`, as PEFT does."""
    wrapped = get_peft_model(base, LoraConfig(**{"lora_dropout": 0.0, **config}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise * strength / parameter.shape[-1] ** 0.5)
    return wrapped.eval()


def save_adapter(
    folder: Path,
    architecture: str,
    seed: int,
    *,
    tied: bool = False,
    head_dim: int = HEAD_DIM,
    **config: Any,
) -> Path:
    """Write a random adapter for `architecture` as PEFT saves it."""
    settings = {"r": 4, "target_modules": TARGETS[architecture], **config}
    base = model(architecture, tied=tied, head_dim=head_dim)
    wrapped = adapted(base, seed, **settings)
    # Without this PEFT also saves a copy of any embedding or head it targets.
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    return folder


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte level, no merges: a character beyond ASCII takes several tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {symbol: i for i, symbol in enumerate(alphabet)}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, eos_token="<eos>", pad_token="<eos>", bos_token="<bos>"
    )
    made.add_tokens(["<x>", "<y>"])
    made.chat_template = (
        "{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    return made


def save_model(
    folder: Path,
    architecture: str = "llama",
    *,
    tied: bool = False,
    head_dim: int = HEAD_DIM,
) -> Path:
    """A model folder as from_pretrained reads it."""
    model(architecture, tied=tied, head_dim=head_dim).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
