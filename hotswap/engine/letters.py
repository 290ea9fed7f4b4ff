"""Letters: all that may be said to the engine thread."""

from dataclasses import dataclass

from hotswap.adapters.deltas import Generation
from hotswap.engine.sampling import SamplingParams
from hotswap.engine.ticket import Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Generate after `prompt` with the adapter named."""

    ticket: Ticket
    adapter: str  # "" is base
    prompt: tuple[int, ...]
    max_tokens: int
    sampling: SamplingParams
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    job: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """`name` stands for `generation` from now on."""

    name: str
    generation: Generation


@dataclass(frozen=True, slots=True)
class Refuse:
    """The files under `name` cannot be served."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retire:
    name: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Refuse what comes from now on; fail what is not finished in `limit_s`."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """End the thread when nothing is left to do."""


Letter = Submit | Cancel | Adopt | Refuse | Retire | Drain | Stop
