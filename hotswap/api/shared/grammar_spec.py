"""Grammar spec: what a request wants its answer to look like, as it says it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class GrammarSpec:
    """`source`: JSON of the schema or of the list of choices, the regular expression,
    or the grammar. `field` names it in errors."""

    kind: Literal["json_object", "json_schema", "regex", "choice", "grammar"]
    source: str
    field: str
