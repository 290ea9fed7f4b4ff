"""DJL errors: what only DJL's routes answer, in DJL's words. Part of the errors' tree.

ClientError
├── UnknownEndpoint          a path names neither the model nor an endpoint
├── IllegalArgument          a parameter that DJL answers as a conflict
└── IllegalNumber            the same for what is no number
"""

from hotswap.errors import ClientError


class UnknownEndpoint(ClientError):
    def __init__(self, name: str) -> None:
        super().__init__(f"Model or workflow not found: {name}")


class IllegalArgument(ClientError):
    pass


class IllegalNumber(ClientError):
    def __init__(self, text: str, field: str) -> None:
        super().__init__(f'For input string: "{text}"', field)
