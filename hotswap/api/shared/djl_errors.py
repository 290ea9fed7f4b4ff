"""DJL errors: what only DJL's routes answer, in DJL's words. Part of the errors' tree.

ClientError
├── UnknownEndpoint          a path names neither the model nor an endpoint
├── InputRefused             what is to be answered cannot be read
├── IllegalArgument          a parameter that DJL answers as a conflict
└── IllegalNumber            the same for what is no number
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hotswap.errors import BadRequest, ClientError

# What DJL's handlers parse before they generate: the whole body, if no field is named.
_INPUT = re.compile(r"((inputs|adapters|prompt|messages)([.\[].*)?)?", re.DOTALL)


class UnknownEndpoint(ClientError):
    def __init__(self, name: str) -> None:
        super().__init__(f"Model or workflow not found: {name}")


class InputRefused(ClientError):
    """DJL's handler has a code of its own for it; a parameter out of its range has the
    code of any bad value."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(f"Input parsing failed: {message}", field)


class IllegalArgument(ClientError):
    pass


class IllegalNumber(ClientError):
    def __init__(self, text: str, field: str) -> None:
        super().__init__(f'For input string: "{text}"', field)


@contextmanager
def input_refusals() -> Iterator[None]:
    """A BadRequest of the input is an InputRefused."""
    try:
        yield
    except BadRequest as error:
        if _INPUT.fullmatch(error.field or ""):
            raise InputRefused(str(error), error.field) from None
        raise
