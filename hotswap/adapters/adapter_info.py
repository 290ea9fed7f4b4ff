"""AdapterInfo: an adapter and its generation as the world may see them.

What is told of a generation is listed here and nowhere else: the store, the report of a
check and the answers over HTTP are made from `GenerationInfo`. Frozen data; no tensors.
"""

from dataclasses import dataclass
from enum import Enum

from msgspec import Struct

from hotswap.adapters.origin import Origin


class AdapterState(Enum):
    READY = "ready"
    FAILED = "failed"
    LOADING = "loading"  # its files were seen and are read


class GenerationInfo(Struct, frozen=True, kw_only=True):
    """What is known of a generation, also when its tensors have left; None is not
    known. `generation` is its key, the others are as `Generation` has them."""

    generation: str | None = None
    format: str | None = None
    rank: int | None = None
    modules: int | None = None
    bytes: int | None = None
    can_merge: bool | None = None
    can_mix: bool | None = None
    note: str | None = None
    merge_loss: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterInfo:
    """One adapter. A ready one with a `reason` still serves its old generation because
    the new files were refused; of one that was not read yet no generation is known."""

    name: str
    state: AdapterState
    reason: str | None
    origin: Origin
    generation_info: GenerationInfo
    is_loaded: bool
    leases: int
    requests: int

    @property
    def generation(self) -> str | None:
        return self.generation_info.generation

    @property
    def is_nameless(self) -> bool:
        """Whether it is a sum that somebody asked for and nobody named."""
        return self.origin.is_nameless(self.name)
