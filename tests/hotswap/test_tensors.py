"""A weights file is safetensors of a sensible size, or refused before it costs much."""

import json
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.keys import PREFIX
from hotswap.adapters.layout import Layout
from hotswap.errors import AdapterRefused
from hotswap.model.eager.executor import EagerExecutor
from tests import tiny
from tests.hotswap.test_parity import logits, make_runner, oracle

BF16 = torch.bfloat16
A = f"{PREFIX}model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture(scope="module")
def runner() -> EagerExecutor:
    return make_runner("llama")


@pytest.fixture(scope="module")
def layout(runner: EagerExecutor) -> Layout:
    return runner.layout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_adapter(tmp_path / "a", "llama", seed=1)


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def one(**fields: Any) -> dict[str, Any]:
    return {A: {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8], **fields}}


TWO = bytes(8)
NUMBERS = ["NaN", "-1", "1e400", "1.5", str(2**64), '"1"', "null", "[1]"]
HOSTILE: dict[str, bytes] = {
    "a header as long as memory": safetensors({}, length=2**63),
    "a header longer than the file": safetensors({}, length=10**6),
    "a header that never ends": safetensors(b"[" * 100_000),
    "a header of something else": safetensors(b"\xff" * 100),
    "tensors by the hundred thousand": safetensors(
        b"{%s}"
        % b",".join(
            b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n
            for n in range(300_000)
        )
    ),
    "a name of a megabyte": safetensors({"x" * (1 << 20): one(dtype="F7")[A]}, TWO),
    "a name of megabytes": safetensors({"x" * (4 << 20): one()[A]}, TWO),
    "offsets that overlap": safetensors({**one(), "x": one()[A]}, TWO),
    "offsets beyond the end": safetensors(one(data_offsets=[0, 2**40]), TWO),
    "offsets backwards": safetensors(one(data_offsets=[8, 0]), TWO),
    "a hole between tensors": safetensors(one(data_offsets=[4, 12]), bytes(12)),
    "a shape that overflows": safetensors(one(shape=[2**33, 2**33]), TWO),
    "a shape of more than there is": safetensors(one(shape=[1, 3]), TWO),
    "a type of nobody": safetensors(one(dtype="F7"), TWO),
    "a type of text": safetensors(one(dtype=7), TWO),
    "metadata that is no text": safetensors({**one(), "__metadata__": {"x": 1}}, TWO),
    **{
        f"{number} where a size is": safetensors(
            json.dumps(one(shape=["?"])).replace('"?"', number).encode(), TWO
        )
        for number in NUMBERS
    },
    **{
        f"{number} where an offset is": safetensors(
            json.dumps(one(data_offsets=[0, "?"])).replace('"?"', number).encode(), TWO
        )
        for number in NUMBERS
    },
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_refused_in_time_and_memory(
    raw: bytes, folder: Path, layout: Layout
) -> None:
    (folder / WEIGHTS_FILE).write_bytes(raw)
    start, memory = time.process_time(), peak()

    with pytest.raises(AdapterRefused, match=WEIGHTS_FILE) as refused:
        read(folder, layout)

    assert refused.value.code == "bad_weights"
    assert len(refused.value.reason) < 1100
    assert time.process_time() - start < 1
    assert peak() - memory < 200 << 10  # KiB


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("shape", [[0], [0, 48], [10**12, 0], [4, 0]])
def test_an_empty_tensor_takes_no_place(
    shape: list[int], folder: Path, layout: Layout
) -> None:
    raw = safetensors(one(shape=shape, data_offsets=[0, 0]))
    (folder / WEIGHTS_FILE).write_bytes(raw)

    with pytest.raises(AdapterRefused, match="is empty") as refused:
        read(folder, layout)

    assert refused.value.code == "missing_tensor"


DTYPES = [torch.float32, BF16, torch.float16]
ONE_IS_THE_OTHER_ROUNDED = [
    (ours, saved)
    for ours in DTYPES
    for saved in DTYPES
    if torch.float32 in (ours, saved) or ours == saved
]


def along(folder: Path, dtype: torch.dtype, change: float = 0.0) -> None:
    """The base's embedding and head beside the factors, as trainers save them."""
    held = load_file(folder / WEIGHTS_FILE)
    for path in ("model.embed_tokens", "lm_head"):
        weight = tiny.model("llama").get_parameter(f"{path}.weight").detach().clone()
        weight[0, 0] += change
        held[f"{PREFIX}{path}.weight"] = weight.to(dtype)
    save_file(held, folder / WEIGHTS_FILE)


@pytest.mark.parametrize(("ours", "saved"), ONE_IS_THE_OTHER_ROUNDED)
@pytest.mark.parametrize("declared", [True, False])
def test_embeddings_saved_along_that_are_goldens_leave_an_adapter_mixable(
    declared: bool, saved: torch.dtype, ours: torch.dtype, folder: Path
) -> None:
    along(folder, saved)
    if declared:
        held = json.loads((folder / CONFIG_FILE).read_text())
        held["modules_to_save"] = ["embed_tokens", "lm_head"]
        (folder / CONFIG_FILE).write_text(json.dumps(held))

    assert read(folder, make_runner("llama", dtype=ours).layout).can_mix


def test_those_that_were_trained_are_served(
    folder: Path, runner: EagerExecutor
) -> None:
    plain = shutil.copytree(folder, folder.parent / "plain")
    along(folder, torch.float32, change=0.5)
    base = tiny.model("llama")
    with torch.no_grad():
        base.get_parameter("model.embed_tokens.weight")[0, 0] += 0.5
        base.get_parameter("lm_head.weight")[0, 0] += 0.5

    generation = read(folder, runner.layout)

    assert not generation.can_mix
    found = logits(runner, generation, mixed=False)
    wanted = oracle(PeftModel.from_pretrained(base, plain).merge_and_unload())
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
