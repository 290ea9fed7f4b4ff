"""The ragged batch: which numbers of rows a network meets."""

from functools import partial

import torch

from hotswap.model.eager.attention_choice import TorchKV
from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.eager.ragged_batch import Inputs, RaggedBatch
from hotswap.model.machine.kernels import Plain
from hotswap.model.network.rows import Row, own_blocks
from tests.fakes import generation

CPU = torch.device("cpu")
CAPACITY = 608


class Network:
    """Attends with nothing but its positions; notes how many rows it met."""

    def __init__(self) -> None:
        self.met: set[int] = set()

    def __call__(self, inputs: Inputs) -> torch.Tensor:
        self.met.add(len(inputs.ids))
        x = inputs.positions.float()[:, None, None]
        seen = inputs.attention.attend(0, x, x, x, scaling=1.0, window=None)
        return seen[:, 0].index_select(0, inputs.last)


def test_steps_of_all_sizes_are_computed_in_a_few_and_fill_no_kv_of_jobs() -> None:
    network = Network()
    lora = BatchedLora(torch.float32, CPU, Plain())
    batch = RaggedBatch(network, lora, partial(TorchKV, CPU), CAPACITY, CPU)
    all_but_one = own_blocks(0, CAPACITY - 16)
    tables = {1: all_but_one, 2: own_blocks(len(all_but_one), 16)}
    for tokens in range(1, 257):
        for mixed in (False, True):
            rows = [
                Row(
                    job=job,
                    tokens=[7] * count,
                    position=0,
                    generation=None,
                    wants_logits=True,
                    blocks=tables[job],
                )
                for job, count in ((1, tokens), (2, 2))
            ]
            logits = batch.run(rows, mixed=mixed)
            assert logits.shape == (2, 1)
            # Of its own positions alone: the last one attends mostly to itself.
            assert float(logits[1]) < 1.0
            if tokens > 8:
                assert abs(float(logits[0]) - (tokens - 1)) < 0.1

    assert len(network.met) <= 16 + 256 // 16 + 1


def test_the_tokens_that_fill_a_step_are_nobodys_in_a_mixed_step() -> None:
    met: list[int] = []
    lora = BatchedLora(torch.float32, CPU, Plain())
    layer = lora.stack({"layer": slice(0, 1)})

    def network(inputs: Inputs) -> torch.Tensor:
        x = torch.ones(len(inputs.ids), 1)
        y = layer.add_to(torch.zeros(len(inputs.ids), 1), x)
        met.append(int((y != 0).sum()))
        return y.index_select(0, inputs.last)

    batch = RaggedBatch(network, lora, partial(TorchKV, CPU), CAPACITY, CPU)
    own = generation("a")
    lora.load([own])
    row = Row(
        job=1,
        tokens=[7] * 20,
        position=0,
        generation=own,
        wants_logits=True,
        blocks=own_blocks(0, 100),
    )
    batch.run([row], mixed=True)

    assert met == [20]
