"""What a transformers or PEFT model itself answers: greedy, and without any cache."""

import torch

from tests import tiny


@torch.no_grad()
def said_by(model: torch.nn.Module, prompt: str, tokens: int) -> str:
    """At most so many `tokens` of the tiny tokenizer."""
    tokenizer = tiny.tokenizer()
    ids = list(tokenizer(prompt).input_ids)
    made: list[int] = []
    while len(made) < tokens:
        best = int(model(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax())
        if best == tiny.EOS:
            break
        made.append(best)
    return str(tokenizer.decode(made, skip_special_tokens=True))
