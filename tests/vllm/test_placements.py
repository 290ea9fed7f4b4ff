"""Where a loader puts the tensors of a checkpoint, seen by watching its copies.

The loader is a small one that fuses and cuts as vLLM's do: no vLLM is needed.
"""

from collections.abc import Mapping

import pytest
import torch

from hotswap.model.vllm.placements import Placement, WatchedCopies

INNER, HEADS, KV = 6, 8, 4
CHECKPOINT = {
    "layer.q.weight": torch.randn(HEADS, INNER),
    "layer.k.weight": torch.randn(KV, INNER),
    "layer.v.weight": torch.randn(KV, INNER),
    "layer.q.bias": torch.randn(HEADS),
    "layer.out.weight": torch.randn(INNER, HEADS),
    "layer.turned.weight": torch.randn(INNER, HEADS),  # [in, out], as GPT-2 has it
    "layer.table.weight": torch.randn(5, INNER),
}


def load(rank: int, ranks: int) -> tuple[dict[str, torch.Tensor], WatchedCopies]:
    """One rank's parameters: q, k and v in one, their rows cut over the ranks; `out`
    cut by columns; `turned` as [out, in]; `table` padded."""
    q, k = HEADS // ranks, KV // ranks
    parameters = {
        "qkv.weight": torch.empty(q + 2 * k, INNER),
        "qkv.bias": torch.zeros(q + 2 * k),
        "out.weight": torch.empty(INNER, HEADS // ranks),
        "turned.weight": torch.empty(HEADS, INNER),
        "table.weight": torch.empty(8, INNER),
    }
    rows = {"q": slice(0, q), "k": slice(q, q + k), "v": slice(q + k, q + 2 * k)}
    watched = WatchedCopies(parameters)
    with watched:
        for name, tensor in watched.told(CHECKPOINT.items()):
            part = name.split(".")[1]
            if part in rows:
                kind = name.rpartition(".")[2]
                size = tensor.shape[0] // ranks
                mine = tensor.narrow(0, rank * size, size)
                parameters[f"qkv.{kind}"][rows[part]].copy_(mine)
            elif part == "out":
                size = HEADS // ranks
                mine = tensor.narrow(1, rank * size, size)
                parameters["out.weight"].copy_(mine)
            elif part == "turned":
                parameters["turned.weight"].copy_(tensor.t())
            else:
                parameters["table.weight"][:5].copy_(tensor)
                parameters["table.weight"][5:].fill_(0)
    return parameters, watched


def tensors_of(watched: WatchedCopies) -> dict[str, list[str]]:
    return {
        name: [place.tensor for place in places]
        for name, places in watched.placements.items()
    }


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_every_copy_is_seen_and_nothing_is_doubtful(ranks: int) -> None:
    for rank in range(ranks):
        _, watched = load(rank, ranks)

        assert not watched.doubtful
        assert tensors_of(watched) == {
            "qkv.weight": ["layer.q.weight", "layer.k.weight", "layer.v.weight"],
            "qkv.bias": ["layer.q.bias"],
            "out.weight": ["layer.out.weight"],
            "turned.weight": ["layer.turned.weight"],
            "table.weight": ["layer.table.weight"],
        }


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_changed_checkpoint_goes_where_the_loader_would_put_it(ranks: int) -> None:
    """A part of another tensor of the same shape, written by its placement, gives what
    loading that tensor gives."""
    for rank in range(ranks):
        parameters, watched = load(rank, ranks)
        wanted = {name: parameter.clone() for name, parameter in parameters.items()}
        other = {name: tensor + 1 for name, tensor in CHECKPOINT.items()}

        for name, places in watched.placements.items():
            parameters[name].fill_(torch.nan)
            for place in places:
                place.place.of(parameters[name]).copy_(
                    place.part.of(other[place.tensor])
                )

        for name, parameter in parameters.items():
            written = ~parameter.isnan()
            torch.testing.assert_close(parameter[written], wanted[name][written] + 1)
            padding = {"table.weight": 3 * INNER, "qkv.bias": 2 * KV // ranks}
            assert int((~written).sum()) == padding.get(name, 0)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_an_update_is_cut_as_its_weight_is(ranks: int) -> None:
    """`rows` and `columns` of an update [out, in] are those of the parameter's part."""
    for rank in range(ranks):
        parameters, watched = load(rank, ranks)
        places = [each for several in watched.placements.values() for each in several]

        for place in places:
            if place.name != "weight":
                continue
            whole = CHECKPOINT[place.tensor]
            update = whole.t() if place.is_turned else whole
            mine = place.place.of(parameters[_holder(place, watched.placements)])
            torch.testing.assert_close(update[place.rows, place.columns], mine)


def _holder(place: Placement, placements: Mapping[str, list[Placement]]) -> str:
    return next(name for name, places in placements.items() if place in places)


def watching() -> tuple[torch.Tensor, torch.Tensor, WatchedCopies]:
    parameter = torch.zeros(4, 3)
    return parameter, torch.randn(4, 3), WatchedCopies({"it": parameter})


@pytest.mark.parametrize(
    "write",
    [
        lambda parameter, tensor: parameter.copy_(tensor * 2),
        lambda parameter, tensor: parameter.copy_(tensor.clone()),
        lambda parameter, tensor: parameter.copy_(tensor[0]),
        lambda parameter, tensor: parameter.mul_(2),
        lambda parameter, tensor: parameter[1].add_(tensor[1]),
    ],
    ids=["computed", "a copy", "broadcast", "multiplied", "added to"],
)
def test_a_parameter_that_is_written_in_another_way_is_doubtful(write) -> None:  # type: ignore[no-untyped-def]
    parameter, tensor, watched = watching()

    with watched:
        for _, handed in watched.told([("a.weight", tensor)]):
            write(parameter, handed)

    assert watched.doubtful == {"it"}


def test_a_copy_after_the_last_tensor_is_doubtful() -> None:
    parameter, tensor, watched = watching()

    with watched:
        for _ in watched.told([("a.weight", tensor)]):
            pass
        parameter.copy_(tensor)

    assert watched.doubtful == {"it"}


def test_what_is_no_parameter_may_be_written() -> None:
    _, tensor, watched = watching()

    with watched:
        for _, handed in watched.told([("a.weight", tensor)]):
            torch.empty(4, 3).copy_(handed).mul_(2)

    assert not watched.doubtful
    assert not watched.placements
