"""Errors that only clients of several servers meet.

HotswapError
├── ChangeUnderWay    another server makes a change
├── NotEverywhere     a change is done here, and not by all who share the adapters
├── ServerGone        the one that a request ran on has ended
└── NoServer          there is none to ask, just now
"""

from collections.abc import Mapping

from hotswap.errors import HotswapError


class ChangeUnderWay(HotswapError):
    def __init__(self) -> None:
        super().__init__(
            "another change of the adapters is under way; nothing was done. Ask again "
            "soon."
        )
        self.retry_after_s = 1.0


class NotEverywhere(HotswapError):
    """`late`: the servers that do not answer so yet, and why, where that is known."""

    def __init__(self, late: Mapping[str, str]) -> None:
        said = [f"{name}: {why}" if why else name for name, why in late.items()]
        super().__init__(
            "the change is done and noted, but not every server answers so yet: "
            f"{'; '.join(said)}"
        )


class ServerGone(HotswapError):
    def __init__(self) -> None:
        super().__init__(
            "the server that answered this request has ended before it was done; no "
            "other request is affected. Send it again."
        )
        self.retry_after_s = 1.0


class NoServer(HotswapError):
    def __init__(self, why: str) -> None:
        super().__init__(f"no server can be asked just now: {why}")
        self.retry_after_s = 1.0
