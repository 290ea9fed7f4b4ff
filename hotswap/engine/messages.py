"""Messages: all that may be said to the engine thread."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.reserved_names import is_base
from hotswap.engine.sums import SumOrder
from hotswap.engine.ticket import Ticket
from hotswap.errors import HotswapError
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer
from scheduler import BASE

QueueKind = Literal["adapter", "key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Generate after `prompt` with the adapter named."""

    ticket: Ticket
    adapter: str  # "" is base
    prompt: tuple[int, ...]
    params: SamplingParams
    weight: float = 1.0  # the adapter's share beside others
    tokenizer: Tokenizer | None = None  # that made the prompt; None is the model's
    key_name: str | None = None  # of the API key that asks, where there are keys

    @property
    def queues(self) -> tuple[tuple[QueueKind, str], ...]:
        """That count it while it waits."""
        adapter = BASE if is_base(self.adapter) else self.adapter
        if self.key_name is None:
            return (("adapter", adapter),)
        return ("adapter", adapter), ("key", self.key_name)


@dataclass(frozen=True, slots=True)
class Cancel:
    job: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """`name` stands for `generation` from now on; None: it is read when asked for."""

    name: str
    generation: Generation | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class Loading:
    """The files of `name` have been seen, and are read. Whatever serves goes on."""

    name: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Amend:
    """What was asked for `name` has changed; its generation has not."""

    name: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Refuse:
    """The files found under `name` cannot be served. `is_readable`: those that it
    stands for still can. `is_passing`: they could not be read just now."""

    name: str
    reason: str
    origin: Origin
    is_readable: bool = False
    is_passing: bool = False


@dataclass(frozen=True, slots=True)
class Retire:
    name: str


@dataclass(frozen=True, slots=True)
class Composed:
    """What became of a sum of adapters: a generation, or why there is none."""

    order: SumOrder
    made: Generation | HotswapError

    @property
    def name(self) -> str:
        return self.order.name


@dataclass(frozen=True, slots=True)
class Sync:
    """`done` when the status shows what the messages before this one did."""

    done: "Future[None]"

    def answer(self) -> None:
        # Whoever asked may have left: a cancelled future takes no result.
        if self.done.set_running_or_notify_cancel():
            self.done.set_result(None)


@dataclass(frozen=True, slots=True)
class Drain:
    """Refuse what comes from now on; fail what is not finished in `limit_s`."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """End the thread when nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What computes the model has ended: fail all, and end the thread. `reason`: in
    words."""

    reason: str


# Of an adapter, as the library tells it
Change = Adopt | Amend | Loading | Refuse | Retire | Composed
Message = Submit | Cancel | Change | Sync | Drain | Stop | Lost
