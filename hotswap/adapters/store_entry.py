"""StoreEntry: what the store keeps of one name."""

from dataclasses import dataclass, field

from hotswap.adapters.adapter_info import AdapterInfo, AdapterState, GenerationInfo
from hotswap.adapters.origin import Origin


@dataclass(slots=True)
class StoreEntry:
    origin: Origin
    info: GenerationInfo = field(default_factory=GenerationInfo)
    is_served: bool = False
    is_loading: bool = False
    reason: str | None = None
    requests: int = 0

    @property
    def state(self) -> AdapterState:
        if self.is_loading:
            return AdapterState.LOADING
        return AdapterState.READY if self.is_served else AdapterState.FAILED

    @property
    def key(self) -> str | None:
        return self.info.generation

    def row(self, name: str, *, is_loaded: bool, leases: int) -> AdapterInfo:
        """As the world may see it."""
        return AdapterInfo(
            name=name,
            state=self.state,
            reason=self.reason,
            origin=self.origin,
            generation_info=self.info,
            is_loaded=is_loaded,
            leases=leases,
            requests=self.requests,
        )
