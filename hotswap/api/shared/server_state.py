"""Server state: the parts that routes look at and act on. It submits nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from litestar.di import NamedDependency

from hotswap.adapters.adapter_info import AdapterInfo
from hotswap.adapters.sidecar import NOTHING, Sidecar
from hotswap.api.shared.endpoints import Endpoints
from hotswap.api.shared.health import Health
from hotswap.engine.engine import Engine
from hotswap.engine.latencies import Histogram
from hotswap.errors import UnknownAdapter
from hotswap.keys.key_ring import NONE, KeyRing
from hotswap.library.adapter_sources import shown
from hotswap.library.hooks import Hooks
from hotswap.library.library import Library
from hotswap.library.watch import Watch
from hotswap.model.machine.budget import MemoryPlan
from hotswap.parser_names import ReasoningParserName, ToolParserName
from hotswap.sharing.sharing import Alone


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """`base`, `also_base`: the names of the bare model, the first is what answers say.
    `memory`: what holds how much. `executor`: how tokens are computed. `directory`: the
    one that is watched. `sharing`: with other servers, if there are any. `show_paths`:
    whether answers may tell where files lie. `tool_parser`, `reasoning_parser`: of
    adapters whose sidecar names none, and of the model. `answers`: how many went out,
    by HTTP code. `refusals`: requests that were turned away, by the kind of error.
    `reads`: seconds of reads of folders. `keys`: who may ask; `metrics_need_no_key`:
    but for those."""

    engine: Engine
    base: str
    started_at: int
    memory: MemoryPlan
    library: Library
    endpoints: Endpoints
    hooks: Hooks
    watch: Watch | None = None
    sharing: Alone = field(default_factory=Alone)
    also_base: tuple[str, ...] = ()
    is_lora_enabled: bool = True
    executor: Mapping[str, object] = field(default_factory=dict)
    directory: Path | None = None
    show_paths: bool = False
    model_path: str = ""
    tool_parser: ToolParserName | None = None
    reasoning_parser: ReasoningParserName | None = None
    answers: Counter[int] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    reads: Histogram = field(default_factory=Histogram)
    keys: KeyRing = NONE
    metrics_need_no_key: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of the bare model but `base`, by which every server has it."""
        return (self.base, *self.also_base)

    def adapter(self, name: str) -> AdapterInfo:
        """Raises UnknownAdapter."""
        found = self.engine.status.adapter(name)
        if found is None:
            raise UnknownAdapter(name)
        return found

    @property
    def health(self) -> Health:
        """Which parts are well, now."""
        threads = {"engine": self.engine.is_alive, "library": self.library.is_alive}
        trouble = [*self.keys.trouble, *self.library.trouble, *self.hooks.trouble]
        if self.watch is not None:
            threads["watch"] = self.watch.is_alive
            trouble += self.watch.trouble
        if not self.sharing.is_alive:
            threads["follower"] = False
        trouble += self.sharing.trouble
        return Health(
            ended=tuple(name for name, is_alive in threads.items() if not is_alive),
            is_stopping=self.engine.status.is_stopping,
            trouble=tuple(trouble),
        )

    @property
    def model_url(self) -> str:
        """Where the model comes from, as anybody may know it."""
        return self.model_path if self.show_paths else self.base

    def source(self, row: AdapterInfo) -> str:
        """Where it comes from, as anybody may know it; of a sum, its parts."""
        if row.origin.composition is not None:
            return row.origin.composition
        return shown(row.origin.src, self.directory, show_paths=self.show_paths)

    def sidecar(self, adapter: str) -> Sidecar:
        """What the adapter's folder asks for by default, with the server's parsers
        where it names none."""
        said = self.library.sidecars.get(adapter, NOTHING)
        names = ("tool_parser", "reasoning_parser")
        own = {name: getattr(said, name) or getattr(self, name) for name in names}
        return msgspec.structs.replace(said, **own) if any(own.values()) else said


# How a route says that it wants the parts; `app` provides them under this name.
Injected = NamedDependency[ServerState]
