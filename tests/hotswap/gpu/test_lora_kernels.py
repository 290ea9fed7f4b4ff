"""`shrink` and `expand_add`: each row gets what its own adapter makes of it, to the
last rounding, and nothing of anybody else."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

pytest.importorskip("triton")

from hotswap.model.gpu.kernels.lora import expand_add, shrink
from hotswap.model.gpu.lora_table import LoraTable
from tests.hotswap.gpu import reference_lora
from tests.hotswap.gpu.lora_rows import Case, case

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
OWNERS = ["b", "", "a", "c", "b", "a", "b"]
PAGES = {"a": [4], "b": [0, 5, 2], "c": [1]}


def check(of: Case) -> None:
    """To what float32 sums and one rounding each of h and of y leave."""
    found, (exact, size) = of.run(), of.exact()
    eps = torch.finfo(of.y.dtype).eps
    wrong = (found.double() - exact).abs() - eps * size
    assert float(wrong.max()) <= 1e-5


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_row_gets_its_own_update_in_one_rounding(
    dtype: torch.dtype, device: torch.device
) -> None:
    check(case(OWNERS, PAGES, count=7, dtype=dtype, device=device))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_kernels_say_what_the_reference_says(
    dtype: torch.dtype, device: torch.device
) -> None:
    of = case(OWNERS, PAGES, count=7, dtype=dtype, device=device)
    table = of.table()
    h = reference_lora.shrink(of.x, of.a, table)
    wanted = reference_lora.expand_add(h, of.b, table, of.y.clone(), of.ends)

    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(of.run(), wanted, rtol=2 * eps, atol=8 * eps + 1e-5)


@given(data=st.data(), ends=st.sampled_from([(9,), (8, 150), (3, 3 + 129, 140)]))
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_the_owners_the_ranks_and_the_places(
    device: torch.device, data: st.DataObject, ends: tuple[int, ...]
) -> None:
    places = data.draw(st.permutations(range(6)))
    pages = {"a": places[:1], "b": places[1:3], "c": places[3:5]}
    many = data.draw(st.sampled_from("abc"))
    owners = data.draw(st.lists(st.sampled_from(["", *"abc", many]), max_size=5))
    owners += [many] * data.draw(st.sampled_from([1, 16, 17]))
    seed = data.draw(st.integers(0, 99))

    check(case(owners, pages, count=6, columns=11, ends=ends, device=device, seed=seed))


def test_a_wide_input_is_summed_slice_by_slice(device: torch.device) -> None:
    check(case(["a", "b"], {"a": [1], "b": [0]}, count=2, columns=1300, device=device))


def test_more_blocks_than_programs_are_all_done(device: torch.device) -> None:
    owners = [f"{n:02}" for n in range(37)]
    pages = {owner: [36 - n] for n, owner in enumerate(owners)}

    check(case(owners, pages, count=37, columns=5, ends=(7,), device=device))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_rows_bits_depend_neither_on_the_places_nor_on_the_other_rows(
    dtype: torch.dtype, device: torch.device
) -> None:
    of = case(
        OWNERS, PAGES, count=7, columns=520, ends=(9,), dtype=dtype, device=device
    )
    found = of.run()

    assert torch.equal(of.run(), found)
    assert torch.equal(of.moved([3, 6, 0, 5, 1, 2, 4]).run(), found)
    for rows in ([0], [5, 1, 6]):
        assert torch.equal(of.only(rows).run(), found[rows])


def test_pages_taken_for_each_others_are_found_out(device: torch.device) -> None:
    """That the tests above could see it."""
    of = case(OWNERS, PAGES, count=7, ends=(9,), device=device)

    for wrong in ({"a": [1], "c": [4]}, {"b": [0, 5, 1]}, {"b": [0, 5]}):
        found = replace(of, pages={**PAGES, **wrong}).run()
        with pytest.raises(AssertionError):
            torch.testing.assert_close(found.double(), of.exact()[0])


def test_nobodys_rows_are_the_same_bits(device: torch.device) -> None:
    of = case(["", "a", ""], {"a": [0]}, count=1, dtype=torch.float16, device=device)
    of.y[0, :3] = torch.tensor([-0.0, torch.nan, torch.inf])
    of.x[0] = torch.inf
    rows = [0, 2]

    found = of.run()

    assert torch.equal(found[rows].view(torch.int16), of.y[rows].view(torch.int16))


@pytest.mark.filterwarnings("ignore:(overflow|invalid):RuntimeWarning")  # numpy's
def test_no_infinity_of_one_reaches_another(device: torch.device) -> None:
    of = case(["a", "b", "a", "b", ""], {"a": [0], "b": [1]}, count=2, device=device)
    clean = of.run()
    huge = replace(of, x=of.x.clone(), a=of.a.clone(), b=of.b.clone())
    huge.a[0], huge.b[0], huge.x[3] = 1e38, -1e38, torch.inf

    found = huge.run()

    assert not bool(found[[0, 2, 3]].isfinite().any())
    assert torch.equal(found[[1, 4]], clean[[1, 4]])


def test_unused_rows_of_a_bucket_are_nobodys(device: torch.device) -> None:
    of = case(["a", "a", ""], {"a": [0]}, count=3, device=device)
    few = replace(of, owners=["a"])  # the table is made for three rows

    assert torch.equal(few.run()[1:], of.y[1:])
    assert torch.equal(few.run()[0], of.run()[0])


def test_a_table_is_read_where_it_lies(device: torch.device) -> None:
    """A captured graph is replayed with other numbers in the same memory."""
    of = case(["a", "b"], {"a": [0], "b": [1]}, count=2, device=device)
    other = replace(of, owners=["b", ""])
    table = of.table()
    static = LoraTable(table.shape, table.data.clone())
    static.data.copy_(other.table().data)

    h = shrink(of.x, of.a, static)
    found = expand_add(h, of.b, static, of.y.clone(), of.ends)

    assert torch.equal(found, other.run())


def test_mixed_is_as_near_to_the_exact_answer_as_merged(device: torch.device) -> None:
    """Promise 4 in bfloat16: mixed rounds golden's output, h and the sum; merged rounds
    the weights and the output."""
    of = case(["a"] * 8, {"a": [0]}, count=1, columns=256, ends=(96,), device=device)
    golden = torch.randn(96, 256, generator=torch.Generator().manual_seed(1)) / 16
    golden, (a, b, x) = golden.bfloat16().to(device), (of.a, of.b / 50, of.x)
    a, b, x = a.bfloat16(), b.bfloat16(), x.bfloat16()
    update = b[0].double().t() @ a[0].double()
    exact = x.double() @ (golden.double() + update).t()
    merged = x @ (golden.double() + update).bfloat16().t()
    mixed = replace(of, x=x, y=x @ golden.t(), a=a, b=b).run()

    gaps = [(y.double() - exact).square().mean().sqrt() for y in (merged, mixed)]

    assert float(gaps[1]) < 1.5 * float(gaps[0])
    assert float((mixed.double() - merged.double()).abs().max()) < 0.05


def test_a_layer_of_peft_says_the_same(device: torch.device) -> None:
    peft = pytest.importorskip("peft.tuners.lora")
    torch.manual_seed(0)
    layer = peft.Linear(
        nn.Linear(24, 40), "x", config=peft.LoraConfig(lora_alpha=20), r=16,
        lora_alpha=20, init_lora_weights=False,
    )  # fmt: skip
    of = case(["x"] * 3, {"x": [0]}, count=1, columns=24, ends=(40,), device=device)
    a, b = layer.lora_A["x"].weight.detach(), layer.lora_B["x"].weight.detach()
    of.a[0], of.b[0] = a, b.t() * layer.scaling["x"]
    with torch.no_grad():
        wanted, golden = layer(of.x.cpu()), layer.base_layer(of.x.cpu())

    found = replace(of, y=golden.to(device)).run()

    torch.testing.assert_close(found.cpu(), wanted)
