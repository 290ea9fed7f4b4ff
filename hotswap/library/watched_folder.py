"""Watched folder: what the watch remembers of one folder, and when it is acted on.

That is once it rests: no file of it has changed for `quiet_s`, by the files' own times
(so a whole folder that is renamed into place is taken at once) or by two looks (where
clocks disagree). One that is refused again and again has to rest twice as long each
time; one that could not be read just now is tried again, later each time.

Knows no disk, no thread and no clock: `now` is in seconds as files have them.
"""

from concurrent.futures import Future

from hotswap.library.entries import Found
from hotswap.library.folder_scan import Fingerprint

_MOST_REFUSALS = 5
_AGAIN_S = 1.0  # twice that after the first time, and doubled with each


class WatchedFolder:
    """Owned by the watch's thread."""

    def __init__(self) -> None:
        self.acted_on: Fingerprint | None = None
        self.outcome: Future[Found] | None = None  # of that; None: heard
        self._last: Fingerprint | None = None  # at the last look
        self._changed_at = 0.0  # when it was first seen so
        self._refusals = 0  # without a good one since
        self._again_at: float | None = None  # if it could not be read

    def see(self, fingerprint: Fingerprint, now: float) -> None:
        """Its files are like this at this look."""
        if fingerprint != self._last:
            self._last, self._changed_at = fingerprint, now

    def hear(self, now: float) -> None:
        """What became of it when it was acted on, if that is known by now."""
        if self.outcome is None or not self.outcome.done():
            return
        outcome, self.outcome = self.outcome, None
        is_told = not outcome.cancelled() and outcome.exception() is None
        became = outcome.result() if is_told else Found.BAD
        if became is Found.GOOD:
            self._refusals = 0
            return
        self._refusals = min(self._refusals + 1, _MOST_REFUSALS)
        if became is Found.AGAIN:
            self._again_at = now + _AGAIN_S * 2**self._refusals

    def act(self, outcome: "Future[Found]") -> None:
        """It was acted on as it is."""
        self.acted_on, self.outcome = self._last, outcome
        self._again_at = None

    @property
    def is_new(self) -> bool:
        """Whether its files are others than those that were acted on."""
        return self._last != self.acted_on

    @property
    def is_to_be_read_again(self) -> bool:
        return self._again_at is not None

    def is_due(self, now: float) -> bool:
        """Whether it is time to read it again."""
        return self._again_at is not None and self._again_at <= now

    def rests(self, now: float, quiet_s: float) -> bool:
        wanted = quiet_s * float(2**self._refusals)
        seen_for = now - self._changed_at
        times = [max(changed, moved) for _, _, changed, moved, _ in self._last or ()]
        age = now - max(times) / 1e9 if times else 0.0
        return max(seen_for, age) >= wanted
