"""KV in blocks is transformers' own cache, wherever the blocks are and whoever shares
them."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from hotswap.adapters.checkpoint import read
from hotswap.model.eager import attention_choice, operations
from tests import tiny
from tests.hotswap.block_jobs import BLOCKS, TEXT, Job, check, run, scattered
from tests.hotswap.test_parity import make_runner

KINDS = {
    "llama": "llama",
    "mistral": "llama",  # with a window
    "gpt2": "interface",
    "gemma2": "alone",
}
ARCHITECTURES = pytest.mark.parametrize("architecture", KINDS)
BY_BLOCKS = pytest.mark.parametrize(
    "architecture", [a for a, kind in KINDS.items() if kind != "alone"]
)
CUTS = [[], [16], [15, 16, 17], [1, 31, 33]]  # at blocks' borders and beside them


@pytest.fixture(autouse=True, params=["in C", "by torch"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler both are by torch."""
    if request.param == "by torch":
        monkeypatch.setattr(attention_choice, "block_attention", lambda: None)
        monkeypatch.setattr(operations, "row_operations", lambda: None)


@ARCHITECTURES
def test_it_is_transformers_cache_wherever_blocks_are_and_chunks_end(
    architecture: str,
) -> None:
    runner = make_runner(architecture)
    assert runner.kind == KINDS[architecture]
    assert runner.shares_blocks == (runner.kind != "alone")
    places = scattered(16, 0, range(60))
    jobs = [
        Job(n, TEXT[n : n + length], places[4 * n : 4 * n + 4], cuts)
        for n, (length, cuts) in enumerate(zip((40, 30, 17, 47), CUTS, strict=True))
    ]
    jobs.append(Job(4, TEXT[:32], range(60, 64)))  # neighbours, and full at once

    run(runner, jobs, 12)

    for job in jobs:
        check(job, tiny.model(architecture))


@ARCHITECTURES
@pytest.mark.parametrize("ordered", [True, False])
def test_long_contexts_are_seen_whole(architecture: str, ordered: bool) -> None:
    runner = make_runner(architecture)
    tables = list(range(3, 43)) if ordered else scattered(40, 0, range(60))
    jobs = [
        Job(1, TEXT[:300], tables[:20], [100, 255]),
        Job(2, TEXT[3:260], tables[20:], [257]),
        Job(3, TEXT[:9], [63]),
    ]

    run(runner, jobs, 8)

    for job in jobs:
        check(job, tiny.model(architecture))


@BY_BLOCKS
@pytest.mark.parametrize("known", [16, 32])
def test_what_one_job_computed_serves_others(architecture: str, known: int) -> None:
    runner = make_runner(architecture)
    first = Job(1, TEXT[:41], [9, 2, 40, 41])
    run(runner, [first], 3)
    shared = list(first.table[: known // 16])
    others = [
        Job(
            n, TEXT[:known] + TEXT[n : n + 20], [*shared, 10 * n, 10 * n + 2], [], known
        )
        for n in (2, 3)
    ]
    others.append(Job(4, TEXT[: known + 1], [*shared, 50], [], known))  # one token

    run(runner, [*others, first], 6)

    for job in (first, *others):
        check(job, tiny.model(architecture))


@ARCHITECTURES
@pytest.mark.parametrize("cuts", [[], [16], [33, 40]])
def test_a_job_that_was_sent_back_goes_on_elsewhere(
    architecture: str, cuts: list[int]
) -> None:
    runner = make_runner(architecture)
    job, other = (Job(n, TEXT[n : n + 35], scattered(4, n)) for n in (1, 2))
    run(runner, [job], 6)
    run(runner, [other], 4)  # may overwrite what it had

    job.send_back(scattered(4, 3, set(range(BLOCKS)) - set(other.table)), cuts=cuts)
    run(runner, [other, job], 6)
    if runner.shares_blocks:  # its first two are known still
        begun = list(job.table[:2])
        free = set(range(BLOCKS)) - set(other.table) - set(begun)
        job.send_back(begun + scattered(2, 4, free), 32, cuts)
        run(runner, [job, other], 4)

    assert len(job.logits) >= 10
    for each in (job, other):
        check(each, tiny.model(architecture))


def test_a_job_that_is_closed_leaves_nothing_behind() -> None:
    runner = make_runner("gemma2")
    for _ in range(2):
        job = Job(1, TEXT[:10], [0])
        run(runner, [job], 3)
        runner.close(1)

        check(job, tiny.model("gemma2"))
    with pytest.raises(KeyError):
        run(runner, [job], 1)


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_adapters_merged_and_mixed_compute_on_blocks(
    architecture: str, mixed: bool, tmp_path: Path
) -> None:
    tiny.save_adapter(tmp_path, architecture, seed=1, strength=1.0)
    runner = make_runner(architecture)
    own = read(tmp_path, runner.layout)
    jobs = [Job(1, TEXT[:40], scattered(4), [16, 20], generation=own)]
    if mixed:
        jobs.append(Job(2, TEXT[:40], scattered(4, 1, range(40, 60)), [30]))
        jobs[0].table = scattered(4, 2, range(40))
    runner.weights.activate(None if mixed else own)

    run(runner, jobs, 8, mixed=mixed)

    peft = PeftModel.from_pretrained(tiny.model(architecture), tmp_path).eval()
    check(jobs[0], peft)
    if mixed:
        check(jobs[1], tiny.model(architecture))
    with torch.inference_mode(), pytest.raises(AssertionError):
        check(jobs[0], tiny.model(architecture))
