"""An adapter with two tokens added in training, as PEFT and transformers make it."""

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.tokenizer import Tokenizer
from tests import tiny

# A text token, which the answers hold, and a special one, which ends them.
THINK, STOP = 260, 261
GROWN = tiny.VOCAB + 2
TEMPLATE = (
    "{% for m in messages %}<think>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}!{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    made = tiny.tokenizer()
    made.add_tokens(["<think>"])
    made.add_special_tokens({"eos_token": "<stop>"})
    made.chat_template = TEMPLATE
    assert made.convert_tokens_to_ids(["<think>", "<stop>"]) == [THINK, STOP]
    return made


def base() -> PreTrainedModel:
    made = tiny.model("llama")
    torch.manual_seed(1)
    made.resize_token_embeddings(GROWN, mean_resizing=False)
    return made


def save(folder: Path, seed: int = 5, *, with_tokenizer: bool = True) -> Path:
    """A folder as a training script leaves it. The added tokens are likely answers."""
    config = LoraConfig(
        r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]
    )
    wrapped = get_peft_model(base(), config).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
                if "lm_head" in name:
                    parameter[[THINK, STOP]] *= torch.tensor([[2.5], [2.0]])
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    if with_tokenizer:
        tokenizer().save_pretrained(folder)
    return folder


def own_tokenizer(
    tokenizers: AdapterTokenizers, folder: Path, tokens: int = GROWN
) -> Tokenizer:
    """The folder's, which differs from the model's."""
    found = tokenizers.of(folder, tokens)
    assert found is not None
    return found


@torch.no_grad()
def said(folder: Path, prompt: str | list[int], tokens: int) -> tuple[list[int], str]:
    """The oracle: ids and text of transformers' own `generate` with PEFT's model and
    the folder's tokenizer."""
    own = AutoTokenizer.from_pretrained(folder)
    model = PeftModel.from_pretrained(base(), folder).eval()
    ids = own(prompt).input_ids if isinstance(prompt, str) else prompt
    out = model.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        do_sample=False,
        max_new_tokens=tokens,
        eos_token_id=[tiny.EOS, own.eos_token_id],
    )
    made = out[0, len(ids) :].tolist()
    text = own.decode(made, skip_special_tokens=True)
    assert isinstance(text, str)
    return made, text
