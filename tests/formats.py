"""Every format that is served, as PEFT makes and saves it: a table for the tests and
for `benchmarks/formats.py`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peft
import torch
from peft import PeftConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from tests import tiny

TARGETS = {
    "llama": ["q_proj", "v_proj", "down_proj"],
    "qwen2": ["q_proj", "v_proj", "down_proj"],
    "gpt2": ["c_attn", "c_fc"],
    "bloom": ["query_key_value", "dense_4h_to_h"],
    "gemma2": ["q_proj", "v_proj", "down_proj"],
}


@dataclass(frozen=True, kw_only=True)
class Format:
    """`mixes`: it runs beside golden, too. `grown`: tokens added before training.
    `peft_merges`: PEFT itself can merge it into this base."""

    name: str
    config: Callable[[list[str]], PeftConfig]
    architecture: str = "llama"
    tied: bool = False
    grown: int = 0
    mixes: bool = False
    peft_merges: bool = True
    save: dict[str, Any] = field(default_factory=dict)

    def base(self) -> PreTrainedModel:
        made = tiny.model(self.architecture, tied=self.tied)
        if self.grown:
            torch.manual_seed(1)
            made.resize_token_embeddings(tiny.VOCAB + self.grown, mean_resizing=False)
        return made

    def write(self, folder: Path) -> None:
        """A trained adapter: all that can be trained is moved away from its start."""
        torch.manual_seed(2)
        wrapped = get_peft_model(
            self.base(), self.config(TARGETS[self.architecture])
        ).eval()
        with torch.no_grad():
            for parameter in wrapped.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape) * 0.1)
        wrapped.save_pretrained(folder, **self.save)
        (folder / "README.md").unlink(missing_ok=True)

    def loaded(self, folder: Path) -> PeftModel:
        """The oracle: PEFT's own loading onto the plain base."""
        torch.manual_seed(3)
        return PeftModel.from_pretrained(self.base(), folder).eval()


def lora(name: str, **settings: Any) -> Format:
    own = {f: settings.pop(f) for f in list(settings) if f in Format.__annotations__}

    def config(targets: list[str]) -> PeftConfig:
        return peft.LoraConfig(**{"r": 4, "target_modules": targets, **settings})

    return Format(name=name, config=config, **own)


def tuner(kind: str, name: str = "", **settings: Any) -> Format:
    own = {f: settings.pop(f) for f in list(settings) if f in Format.__annotations__}

    def config(targets: list[str]) -> PeftConfig:
        made: PeftConfig = getattr(peft, f"{kind}Config")(
            **{"target_modules": targets, **settings}
        )
        return made

    return Format(name=name or kind, config=config, **own)


EMBEDDED = ["embed_tokens", "q_proj"]
BIASED = ["q_proj", "v_proj"]
# PEFT saves them by itself if it can read the base model's own configuration.
WITH_EMBEDDINGS = {"save_embedding_layers": True}
FORMATS = [
    lora("LoRA", mixes=True),
    lora("rsLoRA", use_rslora=True, mixes=True),
    lora(
        "rank_pattern, alpha_pattern",
        rank_pattern={"q_proj": 7},
        alpha_pattern={"down_proj": 31},
        mixes=True,
    ),
    lora(
        "fan_in_fan_out (GPT-2)", architecture="gpt2", fan_in_fan_out=True, mixes=True
    ),
    lora("PiSSA", init_lora_weights="pissa", mixes=True),
    lora("OLoRA", init_lora_weights="olora", mixes=True),
    lora("EVA", init_lora_weights="eva", mixes=True),
    lora("orthogonal", init_lora_weights="orthogonal", mixes=True),
    lora("gaussian", init_lora_weights="gaussian", mixes=True),
    lora("MiCA", init_lora_weights="mica", mixes=True),
    lora("lora_bias", architecture="qwen2", lora_bias=True, target_modules=BIASED),
    lora("lora_bias, base without bias", lora_bias=True, peft_merges=False),
    lora('bias="all"', architecture="gpt2", bias="all"),
    lora('bias="lora_only"', architecture="qwen2", bias="lora_only"),
    lora("DoRA", use_dora=True),
    lora("DoRA (GPT-2)", architecture="gpt2", use_dora=True, fan_in_fan_out=True),
    lora("lm_head", target_modules=["q_proj", "lm_head"], mixes=True),
    lora("embedding", target_modules=EMBEDDED),
    lora("embedding and lm_head", target_modules=[*EMBEDDED, "lm_head"]),
    lora("modules_to_save: head", modules_to_save=["lm_head"]),
    lora(
        "modules_to_save: embedding, head, norms",
        modules_to_save=["embed_tokens", "lm_head", "norm", "input_layernorm"],
    ),
    lora(
        "modules_to_save: a block",
        modules_to_save=["layers.1.mlp"],
        target_modules=["q_proj"],
    ),
    lora("trainable_token_indices", trainable_token_indices=[72, 101]),
    lora(
        "trainable_token_indices (tied)", trainable_token_indices=[72, 101], tied=True
    ),
    lora(
        "added tokens, embeddings saved",
        grown=5,
        modules_to_save=["embed_tokens", "lm_head"],
    ),
    lora("added tokens, resized only", grown=5, save=WITH_EMBEDDINGS),
    lora("added tokens (tied)", grown=5, tied=True, save=WITH_EMBEDDINGS),
    lora(
        "added tokens, trained alone",
        grown=3,
        trainable_token_indices=[260, 261, 262],
        tied=True,
    ),
    tuner("AdaLora", total_step=10),
    tuner("Beft", architecture="qwen2", target_modules=BIASED),
    tuner("BOFT", boft_block_size=4),
    tuner("C3A", block_size=12),
    tuner("Deft"),
    tuner("Delora", r=4),
    tuner("FourierFT", n_frequency=50),
    tuner("Glora"),
    tuner("Gralora", r=4),
    tuner("Hira", r=4),
    tuner("HRA", r=4),
    tuner(
        "IA3",
        target_modules=["k_proj", "v_proj", "down_proj"],
        feedforward_modules=["down_proj"],
    ),
    tuner(
        "IA3",
        "IA3 (GPT-2)",
        architecture="gpt2",
        target_modules=["c_attn", "c_fc"],
        feedforward_modules=["c_fc"],
        fan_in_fan_out=True,
    ),
    tuner("LNTuning", target_modules=["norm", "input_layernorm"]),
    tuner("LoHa"),
    tuner("LoKr"),
    tuner("Miss", r=4),
    tuner("OFT", r=4, oft_block_size=0),
    tuner("Peanut"),
    tuner("Pvera", r=8),
    tuner("RandLora", r=4),
    tuner("Road", group_size=4),
    tuner("Shira", r=4),
    tuner("Supertuning"),
    tuner("TinyLora"),
    tuner("TrainableTokens", target_modules=["embed_tokens"], token_indices=[72, 101]),
    tuner("UniLora"),
    tuner("VBLoRA", r=4, vector_length=12, num_vectors=30),
    tuner("Vera", r=8),
    tuner("Vera", "Vera, projection not saved", r=8, save_projection=False),
    tuner("WaveFT", n_frequency=50),
    tuner("Miss", "Miss, bat", r=4, init_weights="bat"),
    tuner("Miss", "Miss, mini", r=4, init_weights="mini", mini_r=2),
    tuner("HRA", "HRA, orthogonal", r=4, apply_GS=True),
    tuner("OFT", "OFT, constrained", r=4, oft_block_size=0, coft=True, eps=0.1),
    tuner("OFT", "OFT, shared blocks", r=4, oft_block_size=0, block_share=True),
    tuner("LoKr", "LoKr, decomposed", r=4, decompose_both=True),
    tuner("RandLora", "RandLora, projection not saved", r=4, save_projection=False),
    tuner("UniLora", "UniLora, indices saved", save_indices=True),
    tuner(
        "VBLoRA",
        "VBLoRA, top weights",
        r=4,
        vector_length=12,
        num_vectors=30,
        save_only_topk_weights=True,
    ),
    tuner(
        "IA3",
        "IA3 (Qwen 2, biases)",
        architecture="qwen2",
        target_modules=BIASED,
        feedforward_modules=[],
    ),
    lora("DoRA on an embedding", use_dora=True, target_modules=EMBEDDED),
    lora("MiCA on an embedding", init_lora_weights="mica", target_modules=EMBEDDED),
    lora(
        "DoRA, rsLoRA, patterns",
        use_dora=True,
        use_rslora=True,
        rank_pattern={"q_proj": 7},
        alpha_pattern={"down_proj": 31},
    ),
    lora("VeLoRA", velora_config={}),
    lora("tied embedding", target_modules=EMBEDDED, tied=True),
    lora("tied embedding and head", target_modules=[*EMBEDDED, "lm_head"], tied=True),
    lora(
        "ensure_weight_tying: targets",
        target_modules=EMBEDDED,
        tied=True,
        ensure_weight_tying=True,
    ),
    lora(
        "ensure_weight_tying: modules_to_save",
        modules_to_save=["embed_tokens"],
        tied=True,
        ensure_weight_tying=True,
    ),
    lora(
        "ensure_weight_tying: tokens",
        trainable_token_indices=[72],
        tied=True,
        ensure_weight_tying=True,
    ),
    lora("modules_to_save (tied)", modules_to_save=["embed_tokens"], tied=True),
    lora("LoRA (Bloom)", architecture="bloom", use_dora=True),
    lora(
        "modules_to_save (Gemma 2)",
        architecture="gemma2",
        modules_to_save=["embed_tokens", "norm"],
        tied=False,
    ),
    lora(
        "modules_to_save (GPT-2)",
        architecture="gpt2",
        modules_to_save=["wte", "ln_f"],
        fan_in_fan_out=True,
    ),
]
