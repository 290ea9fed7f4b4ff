"""Sums of adapters compute what PEFT's `add_weighted_adapter` does, in both modes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from hotswap.adapters.checkpoint import read
from hotswap.adapters.limits import CheckpointLimits
from hotswap.adapters.sum_parts import Part
from hotswap.adapters.weighted_sum import weighted_sum
from hotswap.errors import BadSum
from tests import tiny
from tests.hotswap.test_parity import logits, make_runner, oracle
from tests.hotswap.weighted_sums import close, parts_of, summed

# Of each part: its factor and its settings
SUMS: dict[str, list[tuple[float, dict[str, Any]]]] = {
    "one, weaker": [(0.4, {"r": 4})],
    "two": [(0.7, {"r": 4}), (0.3, {"r": 4})],
    "a negative factor": [(0.7, {"r": 4}), (-0.5, {"r": 4})],
    "different ranks": [(0.7, {"r": 1}), (0.3, {"r": 9})],
    # PEFT's sum takes the first's settings: rsLoRA there is sqrt(rank) too large.
    "rsLoRA": [(0.3, {"r": 2}), (1.0, {"r": 8, "use_rslora": True})],
    "rank_pattern": [
        (0.5, {"r": 4, "rank_pattern": {"q_proj": 7}}),
        (0.5, {"r": 4, "alpha_pattern": {"down_proj": 31}}),
    ],
    "different targets": [
        (0.7, {"r": 4, "target_modules": ["q_proj", "down_proj"]}),
        (0.6, {"r": 4, "target_modules": ["q_proj", "v_proj"]}),
    ],
    "three": [(0.5, {"r": 2}), (-0.25, {"r": 4}), (1.5, {"r": 3})],
}


def added_by_peft(architecture: str, folders: Mapping[Path, float]) -> PeftModel:
    """The oracle for plain LoRA."""
    names = [folder.name for folder in folders]
    first, *others = folders
    model = PeftModel.from_pretrained(
        tiny.model(architecture), first, adapter_name=first.name
    )
    for folder in others:
        model.load_adapter(folder, adapter_name=folder.name)
    factors = list(folders.values())
    model.add_weighted_adapter(names, factors, "sum", combination_type="cat")
    model.set_adapter("sum")
    return model.eval()


def greedy(rows: torch.Tensor) -> list[int]:
    return [int(token) for token in rows.argmax(-1)]


@pytest.mark.parametrize("case", SUMS)
def test_a_sum_gives_the_logits_and_tokens_of_pefts_weighted_adapter(
    case: str, tmp_path: Path
) -> None:
    folders = {}
    for number, (factor, settings) in enumerate(SUMS[case]):
        folder = tmp_path / f"p{number}"
        tiny.save_adapter(folder, "llama", seed=number, strength=1.0, **settings)
        folders[folder] = factor
    runner = make_runner("llama")
    generation = summed(runner, parts_of(runner, folders))

    merged = logits(runner, generation, mixed=False)
    mixed = logits(runner, generation, mixed=True)

    beside = oracle(model := added_by_peft("llama", folders))
    wanted = oracle(model.merge_and_unload())
    close(mixed, beside)
    close(merged, wanted)
    assert greedy(merged) == greedy(mixed) == greedy(wanted)
    bare = oracle(tiny.model("llama"))
    assert (merged - bare).abs().max() > 1e-2, "a sum that does nothing"


def test_a_sum_of_adapters_of_conv1d_modules_is_pefts_too(tmp_path: Path) -> None:
    folders = {tmp_path / "a": 0.7, tmp_path / "b": -0.4}
    for seed, folder in enumerate(folders):
        tiny.save_adapter(folder, "gpt2", seed=seed, strength=1.0)
    runner = make_runner("gpt2")
    generation = summed(runner, parts_of(runner, folders))

    merged = logits(runner, generation, mixed=False)

    wanted = oracle(added_by_peft("gpt2", folders).merge_and_unload())
    close(merged, wanted)
    mixed = logits(runner, generation, mixed=True)
    close(mixed, wanted)


def test_the_scale_of_a_parts_sidecar_counts(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "a", "llama", seed=1, strength=1.0)
    runner = make_runner("llama")
    plain = logits(runner, read(folder, runner.layout).scaled(0.25), mixed=False)
    (folder / "hotswap.toml").write_text("scale = 0.5")

    halved = summed(runner, parts_of(runner, {folder: 0.5}))

    close(logits(runner, halved, mixed=False), plain)


def test_a_sum_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    """The bare model would answer."""
    folder = tiny.save_adapter(tmp_path / "a", "llama", seed=1)
    runner = make_runner("llama")
    ((part),) = parts_of(runner, {folder: 1.0})
    twice = Part("copy", -2.0, part.generation)

    with pytest.raises(BadSum, match="nothing is left"):
        summed(runner, [part, Part("copy", -1.0, part.generation)])

    left = summed(runner, [part, twice])
    (delta, *_) = left.deltas.values()
    (own, *_) = part.generation.deltas.values()
    assert delta.scale == -own.scale
    assert delta.a is own.a, "a single part keeps its tensors"


def test_the_limits_of_adapters_are_those_of_their_sum(tmp_path: Path) -> None:
    runner = make_runner("llama", dtype=torch.bfloat16)
    folders = {tmp_path / "a": 1.0, tmp_path / "b": 1.0}
    for seed, folder in enumerate(folders):
        tiny.save_adapter(folder, "llama", seed=seed, r=4)
    parts = parts_of(runner, folders)

    with pytest.raises(BadSum, match="rank is 8; the limit is 7"):
        weighted_sum(
            "sum", parts, layout=runner.layout, limits=CheckpointLimits(max_rank=7)
        )

    fine = CheckpointLimits(max_rank=8, max_merge_loss=1e-6)
    lossy = weighted_sum("sum", parts, layout=runner.layout, limits=fine)
    assert not lossy.can_merge
    assert lossy.note is not None
    assert lossy.note.startswith("mixed only: merged into bfloat16 it would lose")
    far = [Part(p.name, 1e40, p.generation) for p in parts]
    with pytest.raises(BadSum, match="is not finite"):
        weighted_sum("sum", far * 2, layout=runner.layout)


def test_a_sum_does_not_depend_on_the_order_and_the_names_of_its_parts(
    tmp_path: Path,
) -> None:
    runner = make_runner("llama")
    folders = {tmp_path / "a": 0.7, tmp_path / "b": 0.3}
    for seed, folder in enumerate(folders):
        tiny.save_adapter(folder, "llama", seed=seed, r=4)
    one, other = parts_of(runner, folders)

    made = summed(runner, [one, other])
    again = summed(
        runner,
        [
            Part("z", other.factor, other.generation),
            Part("a", one.factor, one.generation),
        ],
    )

    for path, delta in made.deltas.items():
        assert torch.equal(delta.a, again.deltas[path].a)
        assert torch.equal(delta.b, again.deltas[path].b)
