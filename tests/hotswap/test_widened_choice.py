"""Weights in bfloat16 and all else in float32 are chosen where that is the fastest."""

from pathlib import Path

import pytest
import torch

from hotswap.model.eager import kernel_choice
from hotswap.model.eager.kernel_choice import choose_kernels, ways_of
from hotswap.model.eager.timing import STEPS, Table, Way
from hotswap.model.machine.widening import Widening
from tests import tiny
from tests.hotswap.test_widening import is_compiled_here

BF16, F32, CPU = torch.bfloat16, torch.float32, torch.device("cpu")
WIDENED = Way(BF16, 0, widens=True)
pytestmark = pytest.mark.skipif(
    not is_compiled_here(), reason="no C compiler that torch's OpenMP goes with"
)


def test_it_is_a_way_where_either_type_would_do_and_the_chain_serves_the_model() -> (
    None
):
    llama = tiny.model("llama").bfloat16()
    gpt2 = tiny.model("gpt2").bfloat16()

    assert WIDENED in ways_of(llama, [BF16, F32])
    assert str(WIDENED) == "bfloat16 widened to float32"
    assert WIDENED.bytes == 4
    for asked in ([BF16], [F32], [torch.float16, F32]):
        assert WIDENED not in ways_of(llama, asked)
    assert WIDENED not in ways_of(gpt2, [BF16, F32])
    llama.config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0}
    assert WIDENED not in ways_of(llama, [BF16, F32])


def test_it_serves_where_it_was_the_fastest_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = tiny.model("llama").bfloat16()

    def timed(products: object, ways: list[Way]) -> Table:
        return {w: dict.fromkeys(STEPS, 1.0 if w == WIDENED else 2.0) for w in ways}

    monkeypatch.setattr(kernel_choice, "time_ways", timed)
    first = choose_kernels(model, [BF16, F32], CPU)
    monkeypatch.setattr(kernel_choice, "time_ways", None)  # would fail if called
    again = choose_kernels(model, [BF16, F32], CPU)
    assert first.dtype is again.dtype is BF16
    assert isinstance(first.kernels, Widening)
    assert isinstance(again.kernels, Widening)

    # A day without a compiler: it is timed anew, without it.
    monkeypatch.setattr(kernel_choice, "time_ways", timed)
    monkeypatch.setattr(kernel_choice, "widening", lambda: None)
    without = choose_kernels(model, [BF16, F32], CPU)
    assert not isinstance(without.kernels, Widening)
