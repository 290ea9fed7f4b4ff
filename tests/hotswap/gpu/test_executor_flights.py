"""Steps in the air: the next one takes the tokens of the last from the device."""

from array import array
from pathlib import Path

import pytest
import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.errors import DeviceFull, MixFailed
from hotswap.model.gpu import executor as executor_module
from hotswap.model.network.rows import Row, Sample
from hotswap.sampling_params import SamplingParams
from tests.hotswap.gpu.executors import (
    PROMPT,
    Client,
    adapters,
    executor_of,
    loaded,
    scattered,
)

SEEDED = SamplingParams(temperature=0.8, seed=3, logprobs=0)
GREEDY = SamplingParams(temperature=0)


def row(
    job: int,
    tokens: list[int] | None,
    position: int = 0,
    generation: Generation | None = None,
    *,
    wants: bool = True,
    blocks: list[int] | None = None,
) -> Row:
    return Row(
        job=job,
        tokens=tokens,
        position=position,
        generation=generation,
        wants_logits=wants,
        blocks=scattered(job, 32) if blocks is None else array("i", blocks),
    )


@pytest.mark.parametrize("params", [GREEDY, SEEDED], ids=["greedy", "seeded"])
@pytest.mark.parametrize("mixed", [False, True], ids=["golden", "mixed"])
def test_launching_ahead_gives_what_landing_each_step_gives(
    params: SamplingParams, mixed: bool, device: torch.device, tmp_path: Path
) -> None:
    executor = executor_of(loaded(place=device))
    one, other = adapters(tmp_path, executor, 2) if mixed else (None, None)
    jobs = [(PROMPT[:n], of) for n, of in ((5, one), (2, None), (9, other), (1, one))]

    each = Client(executor, mixed=mixed).answers(jobs, 6, params=params)
    ahead = Client(executor, mixed=mixed, ahead=True).answers(jobs, 6, params=params)

    assert ahead == each


def test_rows_without_logits_and_samples_keep_their_order(device: torch.device) -> None:
    executor = executor_of(loaded(place=device))
    for job in range(4):
        executor.open(job, GREEDY)
    alone = [executor.forward([row(n, PROMPT[: n + 1])], mixed=False) for n in range(4)]

    rows = [row(n, PROMPT[: n + 1], wants=n % 2 == 1) for n in range(4)]
    flight = executor.launch(rows, mixed=False)
    ahead = executor.launch([row(3, None, 4), row(1, None, 2)], mixed=False)

    best = [int(logits.argmax()) for logits in alone]
    assert executor.land(flight) == [Sample(best[1], None), Sample(best[3], None)]
    assert len(executor.land(ahead)) == 2


def test_a_step_that_nobody_wants_logits_of_lands_with_no_samples() -> None:
    executor = executor_of(loaded())
    executor.open(1, GREEDY)

    flight = executor.launch([row(1, PROMPT[:3], wants=False)], mixed=False)

    assert executor.land(flight) == []


def test_a_job_s_blocks_are_another_s_while_a_flight_still_writes_them(
    device: torch.device,
) -> None:
    """It ended, or was sent back: whoever has them next is launched later, and writes
    later."""
    executor = executor_of(loaded(place=device), kv_tokens=32)
    (wanted,) = Client(executor).answers([(PROMPT, None)], 6)
    for job in (1, 2, 3):
        executor.open(job, GREEDY)
    executor.launch([row(1, PROMPT[:3], blocks=[1])], mixed=False)
    rows = [row(1, None, 3, blocks=[1]), row(2, PROMPT, blocks=[0])]
    flight = executor.launch(rows, mixed=False)

    executor.close(1)
    rows = [row(3, PROMPT, blocks=[1]), row(2, None, 10, blocks=[0])]
    ahead = executor.launch(rows, mixed=False)
    last = executor.launch([row(3, None, 10, blocks=[1])], mixed=False)

    landed = [executor.land(each) for each in (flight, ahead, last)]
    tokens = [[sample.token for sample in samples if sample] for samples in landed]
    assert tokens[0][1] == wanted[0]
    assert tokens[1:] == [wanted[:2], wanted[1:2]]


def test_a_job_that_was_sent_back_goes_on_in_other_blocks(device: torch.device) -> None:
    """What it generated is computed again with its prompt: the next token is the one
    that it would have had, and is drawn as it would have been."""
    executor = executor_of(loaded(place=device))
    (wanted,) = Client(executor).answers([(PROMPT, None)], 6, params=SEEDED)
    executor.open(1, SEEDED)
    (first,) = executor.land(executor.launch([row(1, PROMPT, blocks=[4])], mixed=False))
    assert first is not None
    other = row(2, [5] * 16, blocks=[4])
    executor.open(2, GREEDY)
    executor.launch([other], mixed=False)

    again = [*PROMPT, first.token]
    blocks = [9, 2]
    executor.launch([row(1, again[:4], wants=False, blocks=blocks[:1])], mixed=False)
    flights = [executor.launch([row(1, again[4:], 4, blocks=blocks)], mixed=False)]
    for position in range(11, 15):
        later = row(1, None, position, blocks=blocks)
        flights.append(executor.launch([later], mixed=False))

    samples = [executor.land(flight)[0] for flight in flights]
    assert [s.token for s in samples if s] == wanted[1:]


@pytest.mark.parametrize("mixed", [False, True])
def test_a_prefix_is_computed_once_for_all_who_share_its_blocks(
    device: torch.device, mixed: bool
) -> None:
    executor = executor_of(loaded(place=device))
    prefix = (PROMPT * 4)[:32]
    alone = [
        Client(executor, mixed=mixed).answers([([*prefix, token], None)], 3)[0]
        for token in (7, 9)
    ]
    for job in (0, 1, 2):
        executor.open(job, GREEDY)
    executor.launch([row(0, prefix, wants=False, blocks=[8, 3])], mixed=mixed)

    found: list[list[int]] = [[], []]
    rows = [
        row(1, [7], 32, blocks=[8, 3, 12]),
        row(2, [9], 32, blocks=[8, 3, 5]),
    ]
    for position in (33, 34, 35):
        landed = executor.land(executor.launch(rows, mixed=mixed))
        for own, sample in zip(found, landed, strict=True):
            assert sample is not None
            own.append(sample.token)
        rows = [
            row(each.job, [own[-1]], position, blocks=list(each.blocks))
            for each, own in zip(rows, found, strict=True)
        ]

    assert found == alone


def test_logits_that_are_not_finite_are_that_rows_alone(device: torch.device) -> None:
    executor = executor_of(loaded(place=device))
    with torch.no_grad():
        executor.layout.golden["model.embed_tokens"]["weight"][7] = torch.nan
    for job in (1, 2):
        executor.open(job, GREEDY)

    found = executor.land(executor.launch([row(1, [7]), row(2, [8])], mixed=False))

    assert found[0] is None
    assert found[1] is not None


def test_more_adapters_than_pages_run_in_several_passes(
    device: torch.device, tmp_path: Path
) -> None:
    few = executor_of(loaded(place=device), budget_bytes=1_400_000)
    many = executor_of(loaded(place=device))
    assert few.memory.lora_pages < 6 <= many.memory.lora_pages
    one, *others = adapters(tmp_path, few, 5)
    jobs = [(PROMPT[n:], of) for n, of in enumerate((one, None, *others))]

    found = Client(few, mixed=True, ahead=True).answers(jobs, 3)

    assert found == Client(many, mixed=True).answers(jobs, 3)
    assert found != Client(many, mixed=True).answers([(p, None) for p, _ in jobs], 3)


def test_an_adapter_that_cannot_be_mixed_is_named_and_the_next_step_runs(
    tmp_path: Path,
) -> None:
    executor = executor_of(loaded())
    (good,) = adapters(tmp_path, executor, 1)
    delta = Delta(a=torch.full((1, 48), torch.inf), b=torch.ones(48, 1), scale=1.0)
    bad = Generation(key="bad", deltas={"model.layers.0.self_attn.q_proj": delta})
    wanted = Client(executor, mixed=True).answers([(PROMPT, good)])
    executor.open(1, GREEDY)

    with pytest.raises(MixFailed) as failed:
        executor.launch([row(1, PROMPT, 0, bad)], mixed=True)

    assert failed.value.generation == "bad"
    executor.close(1)
    assert Client(executor, mixed=True).answers([(PROMPT, good)]) == wanted


def test_a_step_that_finds_no_memory_fails_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    executor = executor_of(loaded(place=device))
    jobs = [(PROMPT, None), (PROMPT[:3], None)]
    wanted = Client(executor).answers(jobs)
    executor.open(7, GREEDY)
    executor.land(executor.launch([row(7, PROMPT)], mixed=False))

    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    with monkeypatch.context() as patched:
        patched.setattr(executor_module, "sample", no_memory)
        with pytest.raises(DeviceFull, match="no memory left for a step of 1 jobs"):
            executor.launch([row(7, [1], 10)], mixed=False)
    with pytest.raises(KeyError):  # the failed step sampled no token
        executor.launch([row(7, None, 11)], mixed=False)
    executor.close(7)

    assert Client(executor, ahead=True).answers(jobs) == wanted


def test_a_step_with_more_rows_than_were_asked_for_is_refused() -> None:
    executor = executor_of(loaded(), max_batch=2)
    for job in range(3):
        executor.open(job, GREEDY)

    with pytest.raises(ValueError, match="a step of 3 rows and 3 tokens: at most 2"):
        executor.launch([row(job, [1]) for job in range(3)], mixed=False)
