"""SchedulerLimits: what a scheduler may deal out. All its parts share one."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class SchedulerLimits:
    """Set once, but for `prefill_tokens`: see `Scheduler.shrink`."""

    kv_tokens: int  # KV cache for all live jobs together: whole blocks of it are used
    max_batch: int  # jobs in one step: its seats
    max_waiting: int  # jobs without KV; one more is refused
    prefill_tokens: int  # prompt tokens computed in one step
    patience_s: float  # a wait for a token that needs no step of its own yet
    max_mixed_adapters: int | None = (
        None  # in a mixed step; None: as many as there are seats
    )
    block_tokens: int = 1  # of the KV that is given out and known as one
    switch_budget: float = 0.05  # share of time that swaps may take
    launches_ahead: bool = False  # a step may be launched before the last has landed

    def __post_init__(self) -> None:
        assert self.max_mixed_adapters is None or self.max_mixed_adapters > 0
        assert 0.0 < self.switch_budget < 1.0

    @property
    def kv_blocks(self) -> int:
        return self.kv_tokens // self.block_tokens

    def blocks_for(self, tokens: int) -> int:
        """That hold so many tokens of one job."""
        return -(-tokens // self.block_tokens)

    def whole_blocks(self, tokens: int) -> int:
        """Tokens of so many blocks."""
        return self.blocks_for(tokens) * self.block_tokens

    @property
    def mixed_adapters(self) -> int:
        """Distinct adapters in a mixed step, at most."""
        return min(self.max_batch, self.max_mixed_adapters or self.max_batch)
