"""Remote watch: an adapters directory that lies elsewhere, mirrored and watched."""

from pathlib import Path
from typing import Any

from hotswap.library.library import START_S
from hotswap.library.watch import Watch
from hotswap.sources.mirror import Mirror


class RemoteWatch(Watch):
    """What the mirror brings into the directory is watched as what somebody drops."""

    def __init__(self, directory: Path, mirror: Mirror, **settings: Any) -> None:
        """`settings`: as the watch's."""
        super().__init__(directory, **settings)
        self._mirror = mirror

    def start(self) -> None:
        """Returns when what is there has been fetched and read, or after a while."""
        self._mirror.start(START_S)
        super().start()

    def stop(self) -> None:
        """Waits for no file."""
        self._mirror.stop()
        super().stop()

    @property
    def is_alive(self) -> bool:
        return self._mirror.is_alive and super().is_alive

    @property
    def trouble(self) -> tuple[str, ...]:
        """In a line each. For any thread."""
        return (*self._mirror.trouble, *super().trouble)
