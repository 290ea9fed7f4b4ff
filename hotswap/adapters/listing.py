"""Listing: an adapter as the world may see it. Frozen data."""

from dataclasses import dataclass
from enum import Enum

from hotswap.adapters.deltas import Generation
from hotswap.adapters.origin import Origin


class AdapterState(Enum):
    READY = "ready"
    FAILED = "failed"
    LOADING = "loading"  # its files were seen and are read


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is known of a generation, also when its tensors have left."""

    generation: str
    rank: int
    modules: int
    nbytes: int
    can_merge: bool
    can_mix: bool
    note: str | None
    merge_loss: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One adapter as the world may see it. A ready one with a `reason` still serves
    its old generation because the new files were refused; one without a card has not
    been read yet."""

    name: str
    state: AdapterState
    reason: str | None
    origin: Origin
    card: Card | None
    is_loaded: bool
    leases: int
    requests: int

    @property
    def generation(self) -> str | None:
        return self.card.generation if self.card else None


def card_of(generation: Generation) -> Card:
    return Card(
        generation=generation.key,
        rank=generation.rank,
        modules=generation.modules,
        nbytes=generation.nbytes,
        can_merge=generation.can_merge,
        can_mix=generation.can_mix,
        note=generation.note,
        merge_loss=generation.merge_loss,
        warnings=generation.warnings,
    )
