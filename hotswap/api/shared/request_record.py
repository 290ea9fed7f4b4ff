"""Request record: what became of a request that generates, for logs and traces.

The middleware begins one and tells it to its observers when the answer is over, however
it ended; submission and errors note in it what they know. On the event loop only.
"""

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol

from hotswap.api.shared.http_errors import ClientGone
from hotswap.api.shared.job_request import JobRequest
from hotswap.api.shared.running import Running
from hotswap.engine.job_times import JobStats
from scheduler import BASE

# `opt` of a handler whose answers are generated.
GENERATES = {"generates": True}

End = Literal["finished", "failed", "cancelled", "refused"]


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """`headers`: as ASGI has them. `route`: its path, with names for what varies in it.
    `requests`: its jobs, when it is known which they are; `running`: when they are
    accepted. `error`: that it was answered with, also amid a stream. `code`: HTTP's, 0
    if there was no answer. `began_at`: of the event loop's clock; `seconds`: to the end
    of the answer. `is_handled`: the operator's handler has answered it whole.
    """

    request_id: str
    headers: Iterable[tuple[bytes, bytes]]
    began_at: float
    route: str = ""
    requests: Sequence[JobRequest] = ()
    running: Running | None = None
    error: Exception | None = None
    key_name: str | None = None
    code: int = 0
    is_handled: bool = False
    seconds: float = 0.0

    @property
    def end(self) -> End:
        """A request is refused that the engine has not taken; it is cancelled if its
        client left."""
        running, error = self.running, self.error
        if error is not None and not isinstance(error, ClientGone):
            is_refused = running is None and self.code != 500
            return "refused" if is_refused else "failed"
        is_over = running is not None and running.is_over
        if error is None and (self.is_handled or is_over):
            return "finished"
        return "cancelled"

    @property
    def adapter(self) -> str:
        """One name or, of several, all; "" if it was refused before it was known."""
        return _joined([request.adapter or BASE for request in self.requests])

    @property
    def generation(self) -> str:
        return self.running.generations if self.running else ""

    @property
    def mode(self) -> str:
        """Of the steps that gave tokens."""
        return "+".join(sorted(self.running.modes)) if self.running else ""

    @property
    def finish(self) -> str:
        """Why its answers ended, each reason once."""
        pieces = self.running.lasts.values() if self.running else ()
        return _joined([piece.finish for piece in pieces if piece.finish])

    @property
    def stats(self) -> Sequence[JobStats]:
        """Of its jobs that have finished."""
        pieces = self.running.lasts.values() if self.running else ()
        return [piece.stats for piece in pieces if piece.stats is not None]

    @property
    def first_token_s(self) -> float | None:
        """From the head of the request until its first token could be sent."""
        first_at = self.running.first_at if self.running else None
        return None if first_at is None else first_at - self.began_at


class Observer(Protocol):
    """Called on the event loop, for each request; `close` on any thread, at the end."""

    def __call__(self, record: RequestRecord) -> None: ...
    def close(self) -> None: ...


# That of the request that a task works on, if it generates or may.
record: ContextVar[RequestRecord | None] = ContextVar("record", default=None)


def note_error(error: Exception) -> None:
    """The request that this task works on is answered with an error."""
    now = record.get()
    if now is not None:
        now.error = error


def note_handled() -> None:
    """It is answered whole by the operator's handler, which may ask for no job."""
    now = record.get()
    if now is not None:
        now.is_handled = True


def note_jobs(requests: Sequence[JobRequest], running: Running | None = None) -> None:
    """It asks for these jobs; they are accepted if there is a `running`."""
    now = record.get()
    if now is not None:
        now.requests, now.running = requests, running


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(dict.fromkeys(names))
