"""What each name has to answer as: the plain model that the real server is held to.

It knows what was done to the folders and by the management calls, and nothing of how
the server comes to its answer. A content of one letter is a whole checkpoint; any other
is broken.
"""


class ExpectedNames:
    """`served` and `failed` are what is known; the rest says how that came about."""

    def __init__(self) -> None:
        self.served: dict[str, str] = {}
        self.failed: set[str] = set()  # known by name, and not served
        self.folders: dict[str, str] = {}
        self._registered: dict[str, str] = {}
        self._passed_over: set[str] = set()  # folders that stay away as they are
        # Broken after they were served: if the old content had left the memory, it is
        # nowhere any more, and an error is right, too.
        self._shaky: set[str] = set()

    def answers(self, name: str) -> set[str | None]:
        """The keys that a request may be answered by; None: an error."""
        key = self.served.get(name)
        return {key, None} if name in self._shaky else {key}

    def is_known(self, name: str) -> bool:
        return name in self.served or name in self.failed

    def change(self, name: str, content: str) -> None:
        """The folder has new files, which are not read yet."""
        self.folders[name] = content
        self._passed_over.discard(name)

    def delete(self, name: str) -> None:
        """The folder is gone, which is not known yet."""
        del self.folders[name]
        self._passed_over.discard(name)

    def read(self, name: str) -> None:
        """The library knows the folder as it is now."""
        if name in self._passed_over:
            return
        if name in self.folders:
            self._take(name, self.folders[name])
        elif name not in self._registered:
            self._forget(name)

    def register(self, name: str, key: str) -> None:
        self.served[name] = self._registered[name] = key
        self._shaky.discard(name)
        self.failed.discard(name)
        self._pass_over(name)

    def unregister(self, name: str) -> None:
        self._registered.pop(name, None)
        self._forget(name)
        self._pass_over(name)

    def restart(self) -> None:
        """What was registered comes back from its own source, folders are read anew."""
        self.served = dict(self._registered)
        self.failed, self._shaky = set(), set()
        for name in self.folders:
            self.read(name)
        self._shaky.clear()  # what is served beside a broken folder has its own source

    def _take(self, name: str, content: str) -> None:
        if len(content) == 1:
            self.served[name] = content
            self._registered.pop(name, None)
            self.failed.discard(name)
            self._shaky.discard(name)
        elif name in self.served:
            self._shaky.add(name)
        else:
            self.failed.add(name)

    def _forget(self, name: str) -> None:
        self.served.pop(name, None)
        self.failed.discard(name)
        self._shaky.discard(name)

    def _pass_over(self, name: str) -> None:
        if name in self.folders:
            self._passed_over.add(name)
