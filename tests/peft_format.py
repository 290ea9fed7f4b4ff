"""One format of adapters, as PEFT makes and saves it."""

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
    head_dim: int = tiny.HEAD_DIM
    save: dict[str, Any] = field(default_factory=dict)

    def base(self) -> PreTrainedModel:
        made = tiny.model(self.architecture, tied=self.tied, head_dim=self.head_dim)
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
