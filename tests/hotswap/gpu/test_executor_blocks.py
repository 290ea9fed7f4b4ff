"""The executor's KV is where its rows say, in graphs too, and nowhere else."""

from collections.abc import Sequence

import pytest
import torch

from hotswap.model.gpu import operations
from hotswap.model.gpu.arena import Arena
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.model.network.rows import BLOCK_TOKENS
from hotswap.sampling_params import SamplingParams
from tests import tiny
from tests.hotswap.gpu.executors import PROMPT, executor_of, loaded
from tests.hotswap.gpu.fake_graphs import FakeGraphs
from tests.hotswap.gpu.test_executor_flights import row

TEXT = PROMPT * 2  # 20 tokens: two blocks


@pytest.fixture
def arenas(monkeypatch: pytest.MonkeyPatch) -> list[Arena]:
    """Those that executors allocate, NaN all over."""
    found: list[Arena] = []

    class Kept(Arena):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            for layer in (*self.keys, *self.values):
                layer.fill_(torch.nan)
            found.append(self)

    monkeypatch.setattr(operations, "Arena", Kept)
    return found


def written(arena: Arena) -> set[int]:
    """The rows that hold numbers, in every layer."""
    layers = torch.stack([*arena.keys, *arena.values])
    is_number = layers.isfinite().all(-1).all(-1)
    assert (is_number == is_number[0]).all(), "layers differ"
    assert layers[~is_number].isnan().all(), "half of a row was written"
    return set(is_number[0].nonzero()[:, 0].tolist())


def rows_of(blocks: Sequence[int], tokens: int) -> set[int]:
    return {
        blocks[at // BLOCK_TOKENS] * BLOCK_TOKENS + at % BLOCK_TOKENS
        for at in range(tokens)
    }


def logits(executor: GpuExecutor, blocks: list[int]) -> torch.Tensor:
    """[tokens but 9, vocab]: 10 at once, then one by one, across a block's border."""
    found = []
    for start, stop in [(0, 10), *((n, n + 1) for n in range(10, len(TEXT)))]:
        rows = [row(1, TEXT[start:stop], start, blocks=blocks)]
        found.append(executor.forward(rows, mixed=False)[0].cpu())
    return torch.stack(found)


def test_only_a_job_s_own_blocks_are_read_and_written(
    device: torch.device, arenas: list[Arena]
) -> None:
    executor = executor_of(loaded(place=device))
    executor.open(1, SamplingParams())

    found = logits(executor, [5, 2, 7])  # one more than it needs

    assert found.isfinite().all()
    assert written(arenas[0]) == rows_of([5, 2], len(TEXT))


def test_graphs_answer_from_the_blocks_of_now(device: torch.device) -> None:
    """A graph repeats addresses: the tables' are fixed, what is in them is new."""
    graphs = FakeGraphs()
    executor = executor_of(loaded(place=device), graphs)
    executor.open(1, SamplingParams())
    before = logits(executor, [5, 2])
    captured = executor.graphs

    after = logits(executor, [30, 11])

    with torch.no_grad():
        wanted = tiny.model("llama")(input_ids=torch.tensor([TEXT])).logits[0, 9:]
    torch.testing.assert_close(before, wanted, atol=1e-4, rtol=1e-4)
    assert torch.equal(after, before)
    assert executor.graphs == captured == (2, 0)


def test_warm_up_reads_and_writes_no_block(
    device: torch.device, arenas: list[Arena]
) -> None:
    """Its tables name none: nobody takes part."""
    executor = executor_of(loaded(place=device), max_batch=4)

    executor.warm_up()

    assert not written(arenas[0])


@pytest.mark.parametrize("block", [32, -1, 1 << 30])
def test_a_block_that_is_none_fails_the_step_on_the_host(block: int) -> None:
    """On the device it would be anybody's memory."""
    executor = executor_of(loaded())
    for job in (1, 2):
        executor.open(job, SamplingParams())
    rows = [row(1, [5], 16, blocks=[31, 0]), row(2, [5], 16, blocks=[3, block])]

    with pytest.raises(ValueError, match="a block of KV behind the 32"):
        executor.launch(rows, mixed=False)

    rows[1] = row(2, [5], 16, blocks=[3, 4])
    assert len(executor.land(executor.launch(rows, mixed=False))) == 2


def test_a_row_behind_the_context_fails_the_step_on_the_host() -> None:
    executor = executor_of(loaded(), kv_tokens=1024)
    executor.open(1, SamplingParams())

    with pytest.raises(ValueError, match="behind the context"):
        executor.launch([row(1, [5], 512, blocks=list(range(33)))], mixed=False)


def test_kv_is_whole_blocks() -> None:
    executor = executor_of(loaded(), kv_tokens=500)

    assert executor.kv_tokens == executor.memory.kv_tokens == 512
    assert executor.block_tokens == BLOCK_TOKENS
    assert executor.shares_blocks
