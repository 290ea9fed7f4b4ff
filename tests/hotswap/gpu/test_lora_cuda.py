"""The pool on a CUDA device: captured once, right for whoever comes after."""

import pytest
import torch

pytest.importorskip("triton")

from hotswap.adapters.generation import Generation
from hotswap.model.gpu.kernels.lora import expand_add, shrink
from hotswap.model.gpu.lora_table import LoraTable
from tests.hotswap.gpu.lora_cast import (
    LAYERS,
    WIDTHS,
    generation,
    inputs,
    kernels_of,
    made,
    update,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
ROWS = 8


@torch.inference_mode()
def test_a_graph_gives_each_row_its_adapter_whoever_has_the_pages_by_then() -> None:
    cuda = torch.device("cuda")
    pool = made(pages=4, kernels=kernels_of(shrink, expand_add), place=cuda)
    shape = pool.table_shape(ROWS)
    table = LoraTable(shape, torch.zeros(shape.size, dtype=torch.int32, device=cuda))
    steps = [tuple(t.to(cuda) for t in inputs(ROWS, n)) for n in range(len(LAYERS))]

    def work() -> list[torch.Tensor]:
        with pool.over(table, table):
            return [
                pool.layer(n).add_to(y.clone(), x) for n, (y, x) in enumerate(steps)
            ]

    work()  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = work()

    cast = [generation(key, 1 + 7 * n, *WIDTHS) for n, key in enumerate("abcdef")]
    random = torch.Generator().manual_seed(0)
    much = torch.ones(4096, 4096, device=cuda)
    for _ in range(30):
        chosen = torch.randperm(len(cast), generator=random)[:2].tolist()
        owners: list[Generation | None] = [cast[chosen[0]], None, cast[chosen[1]]]
        owners = (owners * 3)[:ROWS]
        pool.load(owner for owner in owners if owner)
        keys = [owner.key if owner else "" for owner in owners]
        table.data.copy_(torch.from_numpy(pool.table(keys, ROWS)))
        graph.replay()
        for index, (y, x) in enumerate(steps):
            for row, owner in enumerate(owners):
                wanted = y[row].double().cpu() + update(owner, index, x[row].cpu())
                torch.testing.assert_close(outputs[index][row].cpu(), wanted.float())
        torch.mm(much, much)  # a step in the air when the next ones come


@torch.inference_mode()
def test_an_upload_waits_for_the_step_that_reads_the_pages() -> None:
    cuda = torch.device("cuda")
    pool = made(pages=1, kernels=kernels_of(shrink, expand_add), place=cuda)
    a, b = generation("a", 16, *WIDTHS), generation("b", 16, *WIDTHS)
    y, x = (t.to(cuda) for t in inputs(1, 0))
    much = torch.ones(8192, 8192, device=cuda)
    pool.load([a])
    data = torch.from_numpy(pool.table(["a"], 1)).to(cuda)

    for _ in range(20):  # a step that is far from its layers
        torch.mm(much, much)
    with pool.over(LoraTable(pool.table_shape(1), data)):
        found = pool.layer(0).add_to(y.clone(), x)
    pool.load([b])  # in the page of a

    wanted = y[0].double().cpu() + update(a, 0, x[0].cpu())
    torch.testing.assert_close(found[0].cpu(), wanted.float())
