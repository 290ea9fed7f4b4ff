"""Generation: one content of an adapter, and what it makes of the model's modules.

A generation is one content of an adapter. Most say a low-rank update of each linear
module, which can run merged or mixed. Whatever else PEFT can merge comes as a
rewrite: the module's parameters as PEFT's own merge makes them, which only a slot can
hold. A generation's tensors are never written.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from hotswap.adapters.adapter_info import GenerationInfo
from hotswap.tokenizer import Tokenizer

Tensor = Any
"""torch's. The engine and the library hold generations and compute nothing with them:
they load without torch."""


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """`scale * b @ a`, to be added to a weight seen as [out, in]."""

    a: Tensor  # [rank, in], the dtype of the file, on the CPU
    b: Tensor  # [out, rank]
    scale: float

    @property
    def nbytes(self) -> int:
        return int(self.a.nbytes + self.b.nbytes)


class Rewrite(Protocol):
    """One module's parameters as an adapter makes them."""

    @property
    def rank(self) -> int:
        """0 if the adapter's kind has none."""

    @property
    def tensors(self) -> Sequence[Tensor]:
        """What the adapter keeps for this module; modules may share a tensor."""

    def is_difference(self, golden: Mapping[str, Tensor]) -> bool:
        """Whether it moves the parameters from golden and replaces none of them: then
        the difference can be scaled, and added to others'."""

    def __call__(self, golden: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The parameters that change, by name, not rounded to the model's dtype yet.

        `golden`: the module's parameters as loaded, in the module's own orientation;
        never written. What is returned may share memory with the adapter's tensors.
        """


@dataclass(frozen=True, eq=False, kw_only=True)
class Generation:
    """`key` is a digest of the files; updates are keyed by the module's path.

    `can_merge` is false if rounding would lose too much of the update, `fits_mixed` if
    its factors are not finite in the weights' dtype; `note` says why a mode is missing.
    `format` is PEFT's name of its type. `merge_loss` is the share of the update, 0 to
    1, that rounding to the weights' dtype loses when it is merged; None if it was not
    measured. What it is told and says is in the tokens of its own `tokenizer`; None is
    the model's.
    """

    key: str
    deltas: Mapping[str, Delta]
    format: str | None = None
    rewrites: Mapping[str, Rewrite] = field(default_factory=dict)
    can_merge: bool = True
    fits_mixed: bool = True
    note: str | None = None
    merge_loss: float | None = None
    warnings: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None

    @property
    def can_mix(self) -> bool:
        """Whether it can run mixed, in one step with other adapters."""
        return self.fits_mixed and not self.rewrites

    @cached_property
    def paths(self) -> Set[str]:
        """Of all modules that the adapter changes."""
        return self.deltas.keys() | self.rewrites.keys()

    @property
    def modules(self) -> int:
        return len(self.paths)

    @cached_property
    def rank(self) -> int:
        """The largest rank of any module; 0 if the adapter's kind has none."""
        ranks = [delta.a.shape[0] for delta in self.deltas.values()]
        return max([*ranks, *(r.rank for r in self.rewrites.values())], default=0)

    @cached_property
    def nbytes(self) -> int:
        shared = (t for rewrite in self.rewrites.values() for t in rewrite.tensors)
        return sum(d.nbytes for d in self.deltas.values()) + bytes_of(shared)

    @cached_property
    def info(self) -> GenerationInfo:
        """What may be told of it."""
        return GenerationInfo(
            generation=self.key,
            format=self.format,
            rank=self.rank,
            modules=self.modules,
            bytes=self.nbytes,
            can_merge=self.can_merge,
            can_mix=self.can_mix,
            note=self.note,
            merge_loss=self.merge_loss,
            warnings=self.warnings,
        )

    def scaled(self, factor: float) -> "Generation":
        """The same update `factor` times as strong: another generation."""
        key = hashlib.sha256(f"{self.key} x {factor!r}".encode()).hexdigest()[:16]
        return replace(
            self,
            key=key,
            deltas={
                path: replace(delta, scale=delta.scale * factor)
                for path, delta in self.deltas.items()
            },
            rewrites={
                path: _Scaled(rewrite, factor)
                for path, rewrite in self.rewrites.items()
            },
        )


@dataclass(frozen=True, slots=True)
class _Scaled:
    """A rewrite that goes `factor` times as far from golden."""

    rewrite: Rewrite
    factor: float

    @property
    def rank(self) -> int:
        return self.rewrite.rank

    @property
    def tensors(self) -> Sequence[Tensor]:
        return self.rewrite.tensors

    def is_difference(self, golden: Mapping[str, Tensor]) -> bool:
        return self.rewrite.is_difference(golden)

    def __call__(self, golden: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {
            name: self._from(golden.get(name), made.float())
            for name, made in self.rewrite(golden).items()
        }

    def _from(self, golden: Tensor | None, made: Tensor) -> Tensor:
        start: Tensor = made.new_zeros(made.shape)
        if golden is not None:  # tokens that were added start from nothing
            start[: golden.shape[0]] = golden
        return start + self.factor * (made - start)


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Tensors that share their memory count once."""
    return sum({t.data_ptr(): t.nbytes for t in tensors}.values())
