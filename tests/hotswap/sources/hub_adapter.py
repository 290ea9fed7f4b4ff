"""An adapter on the local hub, with what else people put beside one."""

from hotswap.sources.location import parse

FILES = {
    "adapter_config.json": b"{}",
    "adapter_model.safetensors": bytes(range(256)) * 40,
    "tokenizer.model": b"pieces",
    "README.md": b"# read me",
    "training_args.bin": b"a pickle",
    "modeling.py": b"import os",
    "checkpoint-1/adapter_model.safetensors": b"old",
}
TAKEN = {"adapter_config.json", "adapter_model.safetensors", "tokenizer.model"}
WEIGHTS = "adapter_model.safetensors"
URL = parse("hf://org/name")
