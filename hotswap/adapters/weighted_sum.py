"""WeightedSum: the generations of several adapters -> the generation of their sum.

Low-rank updates add exactly: the factors of all parts under each other. So a merge is
`round(W0 + sum of factor * scale * B A)`, accumulated in float32 and rounded once, and
a mixed step runs it as one adapter of the summed rank (PEFT's `add_weighted_adapter`
with `cat`). Whatever else merges as golden and a difference is added as a difference,
merged only. The rest is refused, by part and module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from hotswap.adapters.fidelity import judged
from hotswap.adapters.generation import Delta, Generation, Rewrite
from hotswap.adapters.layout import Layout
from hotswap.adapters.limits import CheckpointLimits
from hotswap.adapters.sum_parts import Part, common_tokenizer
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused, BadSum


def weighted_sum(
    key: str,
    parts: Sequence[Part],
    *,
    layout: Layout,
    limits: CheckpointLimits | None = None,
) -> Generation:
    """The generation `key`. Raises BadSum and nothing else. It shares tensors with its
    parts, and writes none of theirs."""
    try:
        with (
            error_boundary(partial(AdapterRefused, "unexpected")),
            layout.beside_steps(),
            torch.no_grad(),
        ):
            return _weighted_sum(key, parts, layout, limits or CheckpointLimits())
    except AdapterRefused as error:
        written = " + ".join(f"{part.factor:g} `{part.name}`" for part in parts)
        raise BadSum(f"the sum {written} cannot be made: {error.reason}") from None


def _weighted_sum(
    key: str, parts: Sequence[Part], layout: Layout, limits: CheckpointLimits
) -> Generation:
    tokenizer = common_tokenizer({p.name: p.generation.tokenizer for p in parts})
    factors = _factors(parts)
    deltas: dict[str, Delta] = {}
    rewrites: dict[str, Rewrite] = {}
    for path in sorted({path for part in factors for path in part.generation.paths}):
        mine = [part for part in factors if path in part.generation.paths]
        if any(path in part.generation.rewrites for part in mine):
            rewrites[path] = _Added.of(path, mine, layout)
        else:
            deltas[path] = _stacked(
                [(part.generation.deltas[path], part.factor) for part in mine]
            )
    merged_only = [part.name for part in factors if part.generation.rewrites]
    note = f"merged only: {', '.join(merged_only)} cannot run mixed"
    made = Generation(
        key=key,
        deltas=deltas,
        format="a sum",
        rewrites=rewrites,
        note=note if rewrites else None,
        tokenizer=tokenizer,
    )
    if limits.max_rank is not None and made.rank > limits.max_rank:
        raise AdapterRefused(
            "rank_limit",
            f"together their rank is {made.rank}; the limit is {limits.max_rank}",
        )
    return judged(made, layout, limits)


def _factors(parts: Sequence[Part]) -> list[Part]:
    """One for each content, in the order of their keys: names do not count. Raises
    AdapterRefused if nothing is left: the bare model would answer."""
    found: dict[str, Part] = {}
    for part in sorted(parts, key=lambda part: (part.generation.key, part.factor)):
        key = part.generation.key
        before = found[key].factor if key in found else 0.0
        found[key] = Part(part.name, before + part.factor, part.generation)
    left = [part for part in found.values() if part.factor]
    if not left:
        raise AdapterRefused(
            "zero_effect", "its parts are the same, and nothing is left"
        )
    return left


def _stacked(updates: Sequence[tuple[Delta, float]]) -> Delta:
    """One low-rank update of all, on the CPU; a single one keeps its tensors."""
    if len(updates) == 1:
        ((delta, factor),) = updates
        return Delta(a=delta.a, b=delta.b, scale=delta.scale * factor)
    scaled = [(d.b.double() * (d.scale * factor)).float() for d, factor in updates]
    a = torch.cat([delta.a.float() for delta, _ in updates])
    return Delta(a=a, b=torch.cat(scaled, 1), scale=1.0)


@dataclass(frozen=True, slots=True)
class _Added:
    """Golden and the differences that several adapters make of one module."""

    rewrites: tuple[tuple[Rewrite, float], ...]
    deltas: tuple[tuple[Delta, float], ...]
    is_turned: bool  # the module has its weight as [in, out]

    @classmethod
    def of(cls, path: str, parts: Sequence[Part], layout: Layout) -> "_Added":
        """Raises AdapterRefused for a part that is no difference of weights."""
        golden = layout.golden[path]
        rewrites, deltas = [], []
        for part in parts:
            rewrite = part.generation.rewrites.get(path)
            if rewrite is None:
                deltas.append((part.generation.deltas[path], part.factor))
            elif rewrite.is_difference(golden):
                rewrites.append((rewrite, part.factor))
            else:
                raise AdapterRefused(
                    "no_difference",
                    f"`{part.name}` replaces {path}, and only differences of weights "
                    "can be added",
                )
        return cls(tuple(rewrites), tuple(deltas), layout.is_turned(path))

    @property
    def rank(self) -> int:
        ranks = [rewrite.rank for rewrite, _ in self.rewrites]
        return sum(ranks + [int(delta.a.shape[0]) for delta, _ in self.deltas])

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        own = [t for rewrite, _ in self.rewrites for t in rewrite.tensors]
        return [*own, *(t for delta, _ in self.deltas for t in (delta.a, delta.b))]

    def is_difference(self, golden: Mapping[str, torch.Tensor]) -> bool:
        return True

    def __call__(
        self, golden: Mapping[str, torch.Tensor]
    ) -> Mapping[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for rewrite, factor in self.rewrites:
            for name, made in rewrite(golden).items():
                start = (
                    golden[name].float() if name in golden else torch.zeros_like(made)
                )
                change = made.float() - start  # from nothing: a bias that it has not
                found[name] = found.get(name, start) + factor * change
        if self.deltas:
            total = found.get("weight", golden["weight"].float())
            for delta, factor in self.deltas:
                update = delta.b.to(total) @ delta.a.to(total)
                update = update.t() if self.is_turned else update
                total = total + delta.scale * factor * update
            found["weight"] = total
        return found
