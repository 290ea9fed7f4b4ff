"""Cache users: which content of the cache who uses, in this process and others.

Each process has a folder with an empty file for each content that it uses, and a file
beside it that it holds locked as long as it lives, however it ends.
"""

import fcntl
import os
import shutil
import threading
import uuid
import weakref
from collections import Counter
from pathlib import Path


class Held:
    """A whole folder, which stays as long as somebody has this."""

    __slots__ = ("__weakref__", "digest", "folder")

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self.digest = digest


class CacheUsers:
    """Called with the cache's lock held, but for what it is told of garbage."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mine: Path | None = None  # made with the first use
        self._uses: Counter[str] = Counter()
        # Again by one thread: garbage may be collected anywhere.
        self._counting = threading.RLock()

    def hold(self, folder: Path, digest: str) -> Held:
        """From now on it is in use."""
        with self._counting:
            self._uses[digest] += 1
            if self._mine is None or not self._mine.is_dir():
                self._sign_in()
            elif self._uses[digest] == 1:
                (self._mine / digest).touch()
        held = Held(folder, digest)
        weakref.finalize(held, self._release, digest).atexit = False
        return held

    def in_use(self) -> set[str]:
        """By anybody. The folders of processes that have ended go."""
        used = set(self._uses)
        for user in folders(self._root):
            if user == self._mine:
                continue
            lock = user.with_name(f"{user.name}.lock")
            handle = flock(lock)
            if handle is None:
                used |= set(os.listdir(user))
                continue
            shutil.rmtree(user, ignore_errors=True)
            lock.unlink(missing_ok=True)
            os.close(handle)
        return used

    def _sign_in(self) -> None:
        """Once more if somebody has emptied the cache."""
        self._root.mkdir(exist_ok=True)
        mine = self._root / uuid.uuid4().hex
        # Open as long as the process lives.
        assert flock(mine.with_name(f"{mine.name}.lock")) is not None
        mine.mkdir()
        self._mine = mine
        for digest in self._uses:
            (mine / digest).touch()

    def _release(self, digest: str) -> None:
        with self._counting:
            self._uses[digest] -= 1
            if not self._uses[digest]:
                del self._uses[digest]
                if self._mine is not None:
                    (self._mine / digest).unlink(missing_ok=True)


def flock(path: Path) -> int | None:
    """The open file, locked until it is closed; None if somebody else has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def folders(root: Path) -> list[Path]:
    return [path for path in root.glob("*") if path.is_dir()]
