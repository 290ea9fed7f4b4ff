"""JobTimes: when a job was asked for, began, and had its tokens; on the engine's clock.

What a person may ask of an answer afterwards (`JobStats`) comes with its last piece.
"""

from dataclasses import dataclass

from scheduler import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStats:
    """Of a job that has finished; seconds. `queue_s`: from the request to the launch of
    its first step, `prefill_s`: from there to its first token, `decode_s`: from there
    to its last one. `swaps`, `swap_s`: those of the weights in that time, whosever."""

    queue_s: float
    prefill_s: float
    decode_s: float
    swaps: int
    swap_s: float
    merged_tokens: int
    mixed_tokens: int

    @property
    def whole_s(self) -> float:
        return self.queue_s + self.prefill_s + self.decode_s


@dataclass(frozen=True, slots=True)
class Swapped:
    """How often the resident has changed so far, and the seconds that took."""

    swaps: int
    seconds: float


class JobTimes:
    """Owned by the engine thread. `asked_at`: when its ticket was opened; `swapped`:
    until then."""

    def __init__(self, asked_at: float, swapped: Swapped) -> None:
        self._asked_at = asked_at
        self._swapped = swapped
        self._begun_at: float | None = None
        self._first_at: float | None = None
        self._last_at = asked_at
        self._tokens = dict.fromkeys(Mode, 0)

    def begin(self, now: float) -> None:
        """A step of it is launched; only the first counts."""
        if self._begun_at is None:
            self._begun_at = now

    def token(self, mode: Mode, now: float) -> tuple[float, bool]:
        """The seconds since the token before, True; or of its first token, since it was
        asked for, False."""
        is_gap = self._first_at is not None
        seconds = now - self._last_at
        if not is_gap:
            self._first_at = now
        self._last_at = now
        self._tokens[mode] += 1
        return seconds, is_gap

    def stats(self, swapped: Swapped) -> JobStats:
        """Of one that has its last token. `swapped`: until now."""
        assert self._begun_at is not None
        assert self._first_at is not None
        return JobStats(
            queue_s=self._begun_at - self._asked_at,
            prefill_s=self._first_at - self._begun_at,
            decode_s=self._last_at - self._first_at,
            swaps=swapped.swaps - self._swapped.swaps,
            swap_s=swapped.seconds - self._swapped.seconds,
            merged_tokens=self._tokens[Mode.MERGED],
            mixed_tokens=self._tokens[Mode.MIXED],
        )
