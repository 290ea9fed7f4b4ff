"""Health: whether the server is alive, and ready. Every route that tells asks here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    ended: tuple[str, ...]  # threads that do not run; while the server is up, none
    is_stopping: bool
    trouble: tuple[
        str, ...
    ]  # what the disk keeps from adapters; what is served goes on

    @property
    def is_alive(self) -> bool:
        """The threads run that serve, decide and watch."""
        return not self.ended

    @property
    def is_ready(self) -> bool:
        """Requests are accepted, and adapters come and go."""
        return self.is_alive and not self.is_stopping
