"""CheckpointLimits: what an adapter may be on this server, as its operator says."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from peft import PeftConfig

from hotswap.adapters.base_name import base_name, is_same_base
from hotswap.adapters.layout import Layout
from hotswap.adapters.settings import refused
from hotswap.errors import AdapterRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointLimits:
    """None is without limit, and so are no `targets`: names in which the path of each
    module that it changes has to end. Without `max_bytes` its file may have as many as
    the whole model in float32.

    Above `max_merge_loss` it is served mixed only. `other_base`: what it means if the
    adapter says that it was trained on another model.
    """

    max_rank: int | None = None
    max_bytes: int | None = None
    max_merge_loss: float = 0.5
    targets: tuple[str, ...] = ()
    other_base: Literal["warn", "refuse"] = "warn"


def check_rank(config: PeftConfig, limits: CheckpointLimits) -> None:
    """Raises AdapterRefused for a rank over the limit, of all modules or of one."""
    fields = vars(config)
    ranks = [fields.get("r"), *(fields.get("rank_pattern") or {}).values()]
    rank = max((r for r in ranks if isinstance(r, int)), default=0)
    if limits.max_rank is not None and rank > limits.max_rank:
        raise refused("rank_limit", f"rank {rank}; the limit is {limits.max_rank}")


def check_targets(paths: Set[str], limits: CheckpointLimits) -> None:
    """Raises AdapterRefused if one of the modules changed may not be."""
    for path in sorted(paths) if limits.targets else ():
        if not any(f".{path}".endswith(f".{name}") for name in limits.targets):
            raise AdapterRefused(
                "target_forbidden",
                f"{path} may not be adapted here, only {', '.join(limits.targets)}",
            )


def check_base(
    config: PeftConfig, layout: Layout, limits: CheckpointLimits
) -> tuple[str, ...]:
    """What to warn of if it was trained on another model. Raises AdapterRefused if
    that is refused."""
    said = (config.base_model_name_or_path or "").strip()
    if not layout.base or not said or is_same_base(said, layout.base):
        return ()
    what = f"it was trained on {base_name(said)!r}, and this model is {layout.base!r}"
    if limits.other_base == "refuse":
        raise refused("other_base", what)
    return (what,)
