"""Remote watch: an adapters directory that lies elsewhere, mirrored and watched."""

from hotswap.library.library import START_S
from hotswap.library.watch import Watch
from hotswap.sources.mirror import Mirror


class RemoteWatch:
    """As `Watch`: what the mirror brings is watched as what somebody drops."""

    def __init__(self, mirror: Mirror, watch: Watch) -> None:
        self._mirror = mirror
        self._watch = watch

    def start(self) -> None:
        """Returns when what is there has been fetched and read, or after a while."""
        self._mirror.start(START_S)
        self._watch.start()

    def stop(self) -> None:
        """Waits for no file."""
        self._mirror.stop()
        self._watch.stop()

    @property
    def is_alive(self) -> bool:
        return self._mirror.is_alive and self._watch.is_alive

    @property
    def trouble(self) -> tuple[str, ...]:
        """In a line each. For any thread."""
        return (*self._mirror.trouble, *self._watch.trouble)
