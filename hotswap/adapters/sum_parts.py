"""Sum parts: the adapters of a sum, as they stand when it is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hotswap.adapters.generation import Generation
from hotswap.errors import BadSum
from hotswap.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Part:
    """One adapter of a sum, as it stood when the sum was asked for."""

    name: str
    factor: float
    generation: Generation


def most_bytes(parts: Sequence[Part]) -> int:
    """What their sum takes at most: its factors are in float32."""
    return 2 * sum(part.generation.nbytes for part in parts)


def common_tokenizer(tokenizers: Mapping[str, Tokenizer | None]) -> Tokenizer | None:
    """What the prompts of a sum of these adapters are written in; None is the model's.

    The parts' own if it is the same for all. The model's, with its chat template, if
    theirs differ in the template alone. Raises BadSum if their tokens differ.
    """
    first = next(iter(tokenizers.values()))
    if all(own is first for own in tokenizers.values()):
        return first
    for name, own in tokenizers.items():
        if own is not None and own.has_own_vocabulary:
            raise BadSum(
                f"`{name}` cannot be added: its tokenizer has other tokens than those "
                "of the other parts"
            )
    return None
