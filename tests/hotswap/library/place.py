"""A place in memory with adapters, some of which are slow."""

import threading

from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.sources.location import Location
from hotswap.sources.remote import Parts, RemoteFile
from tests.hotswap.sources.memory_remote import MemoryRemote


class Place(MemoryRemote):
    """Reading of what is `slow` waits for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = ""
        self.gate = threading.Event()
        self.begun = threading.Event()

    def put(self, path: str, key: str) -> None:
        self.there[path] = {CONFIG_FILE: b"{}", WEIGHTS_FILE: key.encode()}

    def read(self, location: Location, file: RemoteFile, start: int) -> Parts:
        if self.slow and location.path.endswith(self.slow):
            self.begun.set()
            assert self.gate.wait(20)
        return super().read(location, file, start)
