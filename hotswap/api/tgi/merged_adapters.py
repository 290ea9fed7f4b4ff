"""Merged adapters: LoRAX' `merged_adapters`, as the name of a sum of adapters.

`linear` is done: a sum is what it means to say. LoRAX itself adds up the factors of the
adapters, not their products, so that each part appears with its weight squared and is
mixed with the others. The other strategies drop parts by size or by chance.
"""

from typing import Annotated, Literal

from msgspec import Meta

from hotswap.api.shared.schemas import Fields
from hotswap.errors import BadRequest

_Names = Annotated[list[str], Meta(min_length=1, max_length=64)]
_Weights = Annotated[list[float], Meta(min_length=1, max_length=64)]


class MergedAdapters(Fields, frozen=True, kw_only=True):
    """`density` and `majority_sign_method` belong to strategies that are refused: they
    are without effect on `linear`, at LoRAX too."""

    ids: _Names
    weights: _Weights
    merge_strategy: str | None = None
    density: Annotated[float, Meta(ge=0, le=1)] | None = None
    majority_sign_method: Literal["total", "frequency"] | None = None

    def name(self, field: str) -> str:
        """Of their sum. Raises BadRequest; `field` is where they stand."""
        if self.merge_strategy not in (None, "linear"):
            raise BadRequest(
                f"`{field}.merge_strategy`: only `linear` is supported, which adds the "
                "adapters",
                f"{field}.merge_strategy",
            )
        if len(self.ids) != len(self.weights):
            raise BadRequest(
                f"`{field}` has {len(self.ids)} ids and {len(self.weights)} weights",
                f"{field}.weights",
            )
        for one in self.ids:
            if not one or "*" in one or "+" in one:
                raise BadRequest(
                    f"`{field}.ids`: `{one}` cannot be a part of a sum", f"{field}.ids"
                )
        return "+".join(
            f"{one}*{weight!r}"
            for one, weight in zip(self.ids, self.weights, strict=True)
        )
