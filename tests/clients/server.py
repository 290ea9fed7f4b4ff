"""The server that all clients talk to: a tiny Llama, adapters `pirate` and `sql`.

Its weights are random, so its words are noise; what an adapter does to them is not. It
likes printable characters, and best those that end a string or an object: what a
grammar holds it to comes to an end. Its chat template shows tools in the Hermes form,
and its context is as long as the prompts that clients make of schemas, a token for each
byte.
"""

import string
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tests import tiny
from tests.servers import free_port, spawned

ADAPTERS = {"pirate": 1, "sql": 2}
CONTEXT = 8192
TEMPLATE = """\
{%- if tools %}tools:{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Call one by <tool_call>{"name": ..., "arguments": ...}</tool_call>
{% endif -%}
{%- for m in messages %}{{ m.role }}:{{ m.content or "" -}}
{%- for call in m.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>
{%- endfor %}
{% endfor -%}
{% if add_generation_prompt %}assistant:{% endif %}"""
CONFIG = """\
[memory]
slots = 2
kv_tokens = 65536
"""


PRINTABLE = string.ascii_letters + string.digits + string.punctuation
LIKED = {'"': 0.7, "}": 0.7, "]": 0.7, ",": -3, "{": -3, "[": -3}


def write(folder: Path) -> tuple[Path, Path]:
    """The model's folder and the adapters', made anew below `folder`."""
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = TEMPLATE
    made: Any = tiny.model("llama")
    made.config.max_position_embeddings = CONTEXT
    vocabulary = tokenizer.get_vocab()
    with torch.no_grad():
        # One number of the hidden state is the same for every token, so that what the
        # head makes of it is a bias.
        made.get_input_embeddings().weight[:, 0] = 1
        for layer in made.model.layers:
            layer.self_attn.o_proj.weight[0] = 0
            layer.mlp.down_proj.weight[0] = 0
        bias = made.get_output_embeddings().weight[:, 0]
        bias.fill_(-6)
        bias[[vocabulary[one] for one in PRINTABLE]] = 0
        for one, much in LIKED.items():
            bias[vocabulary[one]] = much
    model = folder / "tiny"
    made.save_pretrained(model)
    tokenizer.save_pretrained(model)
    for name, seed in ADAPTERS.items():
        tiny.save_adapter(
            folder / "adapters" / name,
            "llama",
            seed,
            strength=0.5,
            target_modules=["q_proj", "v_proj", "gate_proj", "up_proj"],
        )
    return model, folder / "adapters"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The command on what `write` has made; its address."""
    model, adapters = write(folder)
    config = folder / "hotswap.toml"
    config.write_text(CONFIG)
    port = free_port()
    command: list[str | Path] = [sys.executable, "-m", "hotswap.cli", "serve", model]
    command += ["--adapters", adapters, "--config", config, "--port", str(port)]
    command += ["--dtype", "float32", "--device", "cpu"]
    with spawned(command, port, folder / "server.log"):
        yield f"http://127.0.0.1:{port}"
