"""Rate: how often a key may ask: a token bucket.

It holds what a minute brings, so that a client that was silent for a minute may ask for
all of it at once.
"""


class Rate:
    """`per_minute`: requests. Knows no clock: `now_s` is any that does not go back."""

    def __init__(self, per_minute: int, now_s: float) -> None:
        self.per_minute = per_minute
        self._left = float(per_minute)
        self._at_s = now_s

    def take(self, now_s: float) -> float:
        """0 if one more request may pass, which is counted; else in how many seconds it
        may."""
        per_second = self.per_minute / 60
        grown = self._left + (now_s - self._at_s) * per_second
        self._left, self._at_s = min(grown, float(self.per_minute)), now_s
        if self._left < 1:
            return (1 - self._left) / per_second
        self._left -= 1
        return 0.0
