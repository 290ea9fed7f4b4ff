"""Train the demo adapters with PEFT and measure them: `python -m hotswap.demo.train`.

Writes `hotswap/demo/adapters/NAME/` (safetensors in bfloat16 and PEFT's own config)
and prints the table of docs/benchmarks.md: the base model's and the adapter's score on
held-out examples. Two cores need about ten minutes for each adapter.
"""

import argparse
import random
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from hotswap.demo.tasks import TASKS, Example, Task

ADAPTERS = Path(__file__).parent / "adapters"
BASE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
BATCH = 8

# Different ranks, targets and scalings on purpose: the server must serve them side
# by side.
RECIPES: dict[str, dict[str, object]] = {
    "sentiment": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "orders": {
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
    },
    "sql": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ],
    },
    "pirate": {
        "r": 16,
        "lora_alpha": 16,
        "use_rslora": True,
        "target_modules": ["v_proj", "o_proj"],
    },
}
STEPS = {"sentiment": 120, "orders": 400, "sql": 240, "pirate": 160}


def _prompt(tokenizer, text: str) -> list[int]:  # type: ignore[no-untyped-def]
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
    )
    return list(tokenizer(chat, add_special_tokens=False).input_ids)


def _batch(tokenizer, examples: list[Example]):  # type: ignore[no-untyped-def]
    """Token ids, mask and labels, each [examples, longest]; prompts bear no loss."""
    rows = []
    for example in examples:
        prompt = _prompt(tokenizer, example.prompt)
        answer = tokenizer(example.answer + "<|im_end|>").input_ids
        rows.append((prompt + answer, [-100] * len(prompt) + answer))
    longest = max(len(ids) for ids, _ in rows)
    pad = tokenizer.pad_token_id
    ids = torch.tensor([i + [pad] * (longest - len(i)) for i, _ in rows])
    mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i, _ in rows])
    labels = torch.tensor([y + [-100] * (longest - len(y)) for _, y in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def train(model_dir: Path, task: Task) -> None:
    """Train one adapter from the bare model and save it under `ADAPTERS`."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.bfloat16)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        **RECIPES[task.name],
    )
    model = get_peft_model(base, config)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-3, weight_decay=0.0)
    steps = STEPS[task.name]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    examples = task.examples(2000, held_out=False)
    rng = random.Random(0)
    for step in range(steps):
        loss = model(**_batch(tokenizer, rng.sample(examples, BATCH))).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 20 == 19:
            print(f"{task.name} step {step + 1}/{steps} loss {loss.item():.4f}")
    folder = ADAPTERS / task.name
    # PEFT would note the folder of this machine.
    model.peft_config["default"].base_model_name_or_path = BASE_MODEL
    model.save_pretrained(folder)
    weights = folder / "adapter_model.safetensors"
    halved = {k: v.to(torch.bfloat16) for k, v in load_file(weights).items()}
    save_file(halved, weights, metadata={"format": "pt"})
    (folder / "README.md").unlink(missing_ok=True)


@torch.no_grad()
def score(model, tokenizer, task: Task, count: int) -> float:  # type: ignore[no-untyped-def]
    """The share of held-out examples that `task.passes`, greedy, in per cent."""
    examples = task.examples(count, held_out=True)
    passed = 0
    for example in examples:
        ids = torch.tensor([_prompt(tokenizer, example.prompt)])
        out = model.generate(ids, do_sample=False, max_new_tokens=60)
        answer = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        passed += task.passes(example, answer)
    return 100 * passed / len(examples)


def main() -> None:
    """Train the named tasks (all by default), then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="converted folder")
    parser.add_argument("--only-measure", action="store_true")
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    args = parser.parse_args()
    for name in [] if args.only_measure else args.tasks:
        train(args.model, TASKS[name])
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    print("| adapter | shows | base % | adapter % |\n|---|---|---|---|")
    for name in args.tasks:
        model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16)
        before = score(model, tokenizer, TASKS[name], 40)
        model = PeftModel.from_pretrained(model, ADAPTERS / name)
        after = score(model, tokenizer, TASKS[name], 40)
        print(f"| {name} | {TASKS[name].shows} | {before:.0f} | {after:.0f} |")


if __name__ == "__main__":
    main()
