"""Attention's kernels against plain torch, which itself is held to torch's SDPA."""

from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hotswap.gpu.attention_steps import Shape, step

pytest.importorskip("triton")
from hotswap.model.gpu.kernels import attention_decode
from tests.hotswap.gpu.attention_calls import SCALING, assert_close, call, exact

SHAPES = st.builds(
    Shape,
    kv_heads=st.sampled_from([1, 2]),
    group=st.sampled_from([1, 3, 4, 7, 8]),
    dim=st.sampled_from([16, 32, 64, 80, 96, 128, 256]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
WINDOWS = st.sampled_from([None, 1, 5, 64, 100])
POSITIONS = st.integers(0, 140)
few = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("window", [None, 3])
def test_the_reference_is_torch_s_attention(window: int | None) -> None:
    it = step([(5, 4), (0, 3), (9, 1)], Shape(dtype=torch.float64))

    columns = (it.table.seen, it.table.first, it.table.count)
    numbers = zip(*(column.tolist()[:3] for column in columns), strict=True)
    for own, (seen, first, count) in zip(it.places, numbers, strict=True):
        rows = torch.arange(seen - count, seen)[:, None]
        mask = torch.ones(count, seen, dtype=torch.bool).tril(seen - count)
        mask &= torch.arange(seen) > rows - (window or seen + 1)
        expected = torch.nn.functional.scaled_dot_product_attention(
            it.q[first : first + count].transpose(0, 1),
            it.keys[own].transpose(0, 1),
            it.values[own].transpose(0, 1),
            attn_mask=mask,
            scale=SCALING,
            enable_gqa=True,
        ).transpose(0, 1)
        found = exact(it, window)[first : first + count]
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@few
@given(
    st.lists(st.tuples(POSITIONS, st.integers(1, 40)), min_size=1, max_size=2),
    SHAPES,
    WINDOWS,
)
def test_chunks_and_decoding_rows_together(
    device: torch.device,
    sequences: list[tuple[int, int]],
    shape: Shape,
    window: int | None,
) -> None:
    it = step(sequences, shape, device)

    assert_close(call(it, window), it, window)


@few
@given(st.lists(POSITIONS, min_size=1, max_size=2), SHAPES, WINDOWS)
def test_one_row_of_each_sequence(
    device: torch.device, positions: list[int], shape: Shape, window: int | None
) -> None:
    it = step([(position, 1) for position in positions], shape, device, is_decode=True)

    for programs in (1, 10):  # of each sequence: one, two or more
        with mock.patch.object(attention_decode, "_PROGRAMS", programs):
            assert_close(call(it, window), it, window)


@pytest.mark.parametrize("is_decode", [True, False])
@pytest.mark.parametrize(
    ("dim", "group"), [(16, 7), (32, 3), (64, 1), (80, 8), (96, 4), (128, 3), (256, 7)]
)
def test_every_head_dim_and_ratio(
    device: torch.device, dim: int, group: int, is_decode: bool
) -> None:
    shape = Shape(kv_heads=1, group=group, dim=dim, dtype=torch.bfloat16)
    it = step([(66, 1 if is_decode else 3)], shape, device, is_decode=is_decode)

    with mock.patch.object(attention_decode, "_PROGRAMS", 2):
        assert_close(call(it, None), it, None)


@pytest.mark.parametrize("window", [None, 70])
def test_decode_ragged_and_split_agree(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, window: int | None
) -> None:
    """Each is near the same exact answer, so their order of summing is all there is."""
    sequences = [(0, 1), (64, 1), (130, 1)]
    ragged = step(sequences, Shape(kv_heads=1), device)
    decode = step(sequences, Shape(kv_heads=1), device, is_decode=True)

    found = [call(ragged, window)]
    for programs in (1, 8, 16):  # 1, 2 and 4 splits
        monkeypatch.setattr(attention_decode, "_PROGRAMS", programs)
        found.append(call(decode, window))

    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=3e-6)


@pytest.mark.parametrize("window", [3, 70])
def test_each_row_of_a_chunk_has_a_window_of_its_own(
    device: torch.device, window: int
) -> None:
    it = step([(66, 9)], Shape(kv_heads=1), device)

    assert_close(call(it, window), it, window)


@pytest.mark.parametrize("is_decode", [True, False])
def test_the_same_step_gives_the_same_bits(
    device: torch.device, is_decode: bool
) -> None:
    sequences = [(90, 1), (3, 1 if is_decode else 20)]
    it = step(sequences, Shape(dtype=torch.bfloat16), device, is_decode=is_decode)

    with mock.patch.object(attention_decode, "_PROGRAMS", 12):  # two splits
        assert torch.equal(call(it, None), call(it, None))


@pytest.mark.parametrize("is_decode", [True, False])
def test_a_row_s_bits_do_not_depend_on_the_sequences_beside_it(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, is_decode: bool
) -> None:
    monkeypatch.setattr(attention_decode, "_PROGRAMS", 1)
    alone = step([(70, 1)], Shape(), device, is_decode=is_decode)
    beside = step([(70, 1), (9, 1), (100, 1)], Shape(), device, is_decode=is_decode)
    beside.keys[beside.places[0]] = alone.keys[alone.places[0]]
    beside.values[beside.places[0]] = alone.values[alone.places[0]]
    beside.q[0] = alone.q[0]

    assert torch.equal(call(beside, None)[0], call(alone, None)[0])


def test_the_number_of_splits_fills_the_card_and_comes_from_shapes_alone() -> None:
    splits = {n: attention_decode.splits_of(n, 8) for n in (1, 2, 4, 8, 16, 32, 256)}

    assert splits == {1: 32, 2: 16, 4: 8, 8: 4, 16: 2, 32: 1, 256: 1}
    assert attention_decode.splits_of(1, 1) == 64  # 128k tokens: 2,048 for each
