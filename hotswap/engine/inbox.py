"""Inbox: messages from any thread to the engine, none of which stays unanswered.

Once it is closed whoever posts answers what is left: there is nobody to read it.
"""

import queue
from collections.abc import Iterator

from hotswap.engine.messages import Message, Submit, Sync
from hotswap.engine.outbox import Outbox
from hotswap.errors import Stopping


class Inbox:
    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.is_closed = False

    def post(self, message: Message) -> None:
        """From any thread. After the end it is answered all the same."""
        self._messages.put(message)
        if self.is_closed:
            self._turn_away()

    def read(self, *, wait: bool) -> Iterator[Message]:
        """The messages that are there; with `wait`, one at least."""
        try:
            yield self._messages.get(block=wait)
            while True:
                yield self._messages.get_nowait()
        except queue.Empty:
            pass

    def close(self) -> None:
        """Nobody reads any more."""
        self.is_closed = True
        self._turn_away()

    def _turn_away(self) -> None:
        """From any thread: whoever posts when the end has come does it, and the end
        itself for those before."""
        outbox = Outbox()
        while not self._messages.empty():
            try:
                message = self._messages.get_nowait()
            except queue.Empty:  # another thread has it
                break
            if isinstance(message, Submit):
                outbox.put(message.ticket, Stopping())
            elif isinstance(message, Sync):
                message.answer()
        outbox.deliver()
