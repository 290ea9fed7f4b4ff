"""Content cache: the folders that were fetched, by the digest of their files.

    content/DIGEST/     whole folders; the time of the folder is that of its last use
    partial/KEY/        one that is being fetched, or was; KEY.lock is held meanwhile,
                        and says how many bytes it will have
    known/KEY.json      what a location stood for when it was last looked at
    users/              who uses which content
    lock                held by whoever counts, takes or gives up

Several servers may have one cache. What is used least recently leaves first, and never
what somebody uses.
"""

import fcntl
import hashlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hotswap.errors import AdapterRefused, NoRoom
from hotswap.sources.cache_users import CacheUsers, Held, flock, folders
from hotswap.sources.download import digest_of

_POLL_S = 0.1
KEY = "adapters.source_cache_gb"


class ContentCache:
    """For any thread. Raises OSError where the disk does."""

    def __init__(self, root: Path, most_bytes: int) -> None:
        """`most_bytes`: of all that lies in it."""
        self.most_bytes = most_bytes
        self.contents = root / "content"
        self._root = root
        self._partials = root / "partial"
        self._known = root / "known"
        self._users = CacheUsers(root / "users")

    def find(self, digest: str) -> Held | None:
        """The folder of that content, if it is here."""
        folder = self.contents / digest
        with self._locked():
            if not folder.is_dir():
                return None
            os.utime(folder)
            return self._users.hold(folder, digest)

    def recall(self, location: str) -> tuple[str, str] | None:
        """What listing and which content a location had when it was last fetched."""
        try:
            kept = json.loads(self._note(location).read_text())
            return str(kept["listing"]), str(kept["content"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note(self, location: str, listing: str, content: str) -> None:
        self._known.mkdir(parents=True, exist_ok=True)
        said = {"location": location, "listing": listing, "content": content}
        beside = self._known / f".partial-{uuid.uuid4().hex}"
        beside.write_text(json.dumps(said))
        beside.rename(self._note(location))

    @contextmanager
    def partial(
        self, key: str, announced: int, stop: threading.Event
    ) -> Iterator[Path]:
        """The folder to fetch into, for one at a time, with room for `announced` bytes.
        Raises NoRoom, and AdapterRefused if `stop` is set while another has it."""
        lock = self._partials / f"{key}.lock"
        while (held := self._try_to_lock(lock, announced)) is None:
            if stop.wait(_POLL_S):
                raise AdapterRefused("cancelled", "it is not fetched any more")
        folder = self._partials / key
        try:
            folder.mkdir(exist_ok=True)
            yield folder
        finally:
            with self._locked():
                if not folder.exists():  # it is content now
                    lock.unlink(missing_ok=True)
                os.close(held)

    def take(self, partial: Path) -> Held:
        """Let a whole partial folder be content."""
        digest = _digest(partial)
        folder = self.contents / digest
        with self._locked():
            self.contents.mkdir(exist_ok=True)
            if folder.is_dir():
                shutil.rmtree(partial)
            else:
                partial.rename(folder)
            os.utime(folder)
            return self._users.hold(folder, digest)

    def _try_to_lock(self, lock: Path, announced: int) -> int | None:
        with self._locked():
            self._partials.mkdir(exist_ok=True)
            if (handle := flock(lock)) is None:
                return None
            try:
                os.truncate(handle, 0)
                os.pwrite(handle, str(announced).encode(), 0)
                self._make_room(lock.stem)
            except BaseException:
                os.close(handle)
                raise
            return handle

    def _make_room(self, wanted: str) -> None:
        """Give up what was not used for longest. `wanted`: the partial that must stay.
        Raises NoRoom if what is used leaves too little."""
        used = self._users.in_use()
        rows: list[tuple[float, Path]] = []
        total = 0
        for folder in folders(self.contents):
            total += _bytes(folder)
            if folder.name not in used:
                rows.append((folder.stat().st_mtime, folder))
        for lock in list(self._partials.glob("*.lock")):
            folder = self._partials / lock.stem
            handle = flock(lock)
            if handle is None:
                total += max(_bytes(folder), int(lock.read_text() or 0))
                continue
            os.close(handle)
            total += _bytes(folder)
            rows.append((lock.stat().st_mtime, folder))
        for _, folder in sorted(rows):
            if total <= self.most_bytes:
                return
            total -= _bytes(folder)
            self._drop(folder)
        if total > self.most_bytes:
            (self._partials / f"{wanted}.lock").write_text("")
            raise NoRoom(
                f"what is in use of the cache of sources leaves no room ({KEY} is "
                f"{self.most_bytes / 2**30:g})"
            )

    def _drop(self, folder: Path) -> None:
        """As a whole, so that nobody finds half of it."""
        gone = self._root / f".gone-{uuid.uuid4().hex}"
        if folder.is_dir():
            folder.rename(gone)
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)
        shutil.rmtree(gone, ignore_errors=True)

    def _note(self, location: str) -> Path:
        name = hashlib.sha256(location.encode()).hexdigest()[:32]
        return self._known / f"{name}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        handle = os.open(
            self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())


def _digest(folder: Path) -> str:
    """Of names and contents: the same files are the same content wherever they lay."""
    told: list[Any] = [[f.name, digest_of(f)] for f in sorted(folder.iterdir())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:40]
