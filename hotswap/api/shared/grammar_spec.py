"""Grammar spec: what a request wants its answer to look like, as it says it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hotswap.errors import BadRequest


@dataclass(frozen=True, slots=True)
class GrammarSpec:
    """`source`: JSON of the schema or of the list of choices, the regular expression,
    or the grammar; "" of `json_object`. `field` names it in errors."""

    kind: Literal["json_object", "json_schema", "regex", "choice", "grammar"]
    source: str
    field: str

    @property
    def is_whole(self) -> bool:
        """Whether an answer that is cut is none. What matches an expression or a
        grammar of the client's own may be cut where it says: vLLM's documentation
        sends `stop` with an expression."""
        return self.kind in ("json_object", "json_schema", "choice")

    def check(
        self,
        *,
        stop: str | Sequence[str] | None,
        ignore_eos: bool,
        names: tuple[str, str] = ("stop", "ignore_eos"),
    ) -> None:
        """Raises BadRequest for what a request says besides and contradicts it, by the
        family's `names` of the two. What only its folder says is no contradiction."""
        stop_field, eos_field = names
        if stop and self.is_whole:
            raise BadRequest(
                f"`{stop_field}` contradicts `{self.field}`: it would cut the answer, "
                "which ends by itself",
                stop_field,
            )
        if ignore_eos:
            raise BadRequest(
                f"`{eos_field}` contradicts `{self.field}`: where the answer is "
                "complete nothing else may follow",
                eos_field,
            )
