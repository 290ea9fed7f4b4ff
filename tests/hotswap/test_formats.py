"""Every format's logits, merged (and mixed where it can), are PEFT's own."""

from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.model.eager.executor import EagerExecutor
from tests.formats import FORMATS
from tests.hotswap.test_parity import logits, make_runner, oracle
from tests.peft_format import Format

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes the adapter


@cache
def runner_of(architecture: str, tied: bool) -> EagerExecutor:
    """One for all formats: no adapter leaves a trace in it."""
    return make_runner(architecture, tied=tied)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(each, id=each.name, marks=[pytest.mark.slow] if n % 3 else [])
        for n, each in enumerate(FORMATS)
    ],
)
def test_a_format_gives_the_logits_of_peft(given: Format, tmp_path: Path) -> None:
    given.write(tmp_path)
    runner = runner_of(given.architecture, given.tied)
    before = runner.weights.checksum()

    generation = read(tmp_path, runner.layout)
    merged = logits(runner, generation, mixed=False)

    peft = given.loaded(tmp_path)
    wanted = oracle(peft)  # beside the weights, as it was trained
    torch.testing.assert_close(merged, wanted, atol=1e-4, rtol=1e-4)
    bare = logits(runner, None, mixed=False)
    assert (merged[:, : bare.shape[1]] - bare).abs().max() > 1e-2, "it does nothing"
    assert generation.can_mix == given.mixes
    if given.mixes:
        mixed = logits(runner, generation, mixed=True)
        torch.testing.assert_close(mixed, wanted, atol=1e-4, rtol=1e-4)
    # PEFT's merge would change both ends of a tie at once.
    if given.peft_merges and not given.tied:
        whole = oracle(peft.merge_and_unload())
        torch.testing.assert_close(merged, whole, atol=1e-4, rtol=1e-4)
    assert runner.weights.checksum() == before


def test_a_tied_head_follows_an_embedding_that_is_saved_alone(tmp_path: Path) -> None:
    given = next(f for f in FORMATS if f.name == "added tokens (tied)")
    given.write(tmp_path)
    runner = runner_of(given.architecture, given.tied)
    wanted = logits(runner, read(tmp_path, runner.layout), mixed=False)
    held = load_file(tmp_path / WEIGHTS_FILE)
    del held["base_model.model.lm_head.weight"]
    save_file(held, tmp_path / WEIGHTS_FILE)

    found = logits(runner, read(tmp_path, runner.layout), mixed=False)

    assert torch.equal(found, wanted)
