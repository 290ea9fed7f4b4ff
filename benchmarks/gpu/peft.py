"""PEFT on transformers' own model and cache, on the same shapes: decoding steps.

With one adapter (`set_adapter`), merged, and with several in a batch
(`adapter_names`), in the words of its documentation.
"""

from functools import partial

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import DynamicCache

from benchmarks.gpu.model import RANK, load_random
from benchmarks.gpu.setting import Figures, Setting

_ADAPTERS = 4


def run(setting: Setting, shape: str = "1b") -> Figures:
    config = LoraConfig(r=RANK, target_modules="all-linear", init_lora_weights=False)
    base = load_random(shape, setting).model
    model = get_peft_model(base, config, adapter_name="a0")
    assert isinstance(model, PeftModel)
    for number in range(1, _ADAPTERS):
        model.add_adapter(f"a{number}", config)
    model.eval()
    for batch in (2,) if setting.tiny else (1, 16, 64):
        yield from _decoding(setting, model, batch)
    yield "PEFT merge_adapter, ms", setting.wall_ms(partial(_merged, model))


@torch.inference_mode()
def _decoding(setting: Setting, model: PeftModel, batch: int) -> Figures:
    context = 16 if setting.tiny else 512
    cache = DynamicCache()
    ids = torch.full((batch, context), 5, device=setting.device)
    one = ids[:, :1]

    def step(**names: list[str]) -> None:
        model(input_ids=one, past_key_values=cache, **names)
        cache.crop(-1)

    with model.disable_adapter():
        model(input_ids=ids, past_key_values=cache, logits_to_keep=1)
        step()
        yield f"PEFT base, b {batch}, ms", setting.wall_ms(step)
    model.set_adapter("a0")
    step()
    yield f"PEFT set_adapter, b {batch}, ms", setting.wall_ms(step)
    names = [f"a{n % _ADAPTERS}" for n in range(batch)]
    mixed = partial(step, adapter_names=names)
    mixed()
    label = f"PEFT adapter_names {min(batch, _ADAPTERS)}, b {batch}, ms"
    yield label, setting.wall_ms(mixed)


def _merged(model: PeftModel) -> None:
    model.merge_adapter(["a0"])
    model.unmerge_adapter()
