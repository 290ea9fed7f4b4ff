"""Outbox: what one round of the engine has for its clients, handed over at once."""

import logging
from asyncio import AbstractEventLoop
from collections import defaultdict

from hotswap.engine.ticket import Ticket, TicketEvent

log = logging.getLogger(__name__)


class Outbox:
    """Filled and emptied by the engine thread; tickets are read by event loops."""

    def __init__(self) -> None:
        self._events: defaultdict[AbstractEventLoop, list[tuple[Ticket, TicketEvent]]]
        self._events = defaultdict(list)

    def put(self, ticket: Ticket, event: TicketEvent) -> None:
        self._events[ticket.loop].append((ticket, event))

    def deliver(self) -> None:
        """One thread-safe call for each event loop, however many tickets it has."""
        for loop, events in self._events.items():
            try:
                loop.call_soon_threadsafe(_hand_over, events)
            except RuntimeError:  # the loop is closed: nobody is left to read
                log.debug("event loop closed with events=%d", len(events))
        self._events.clear()


def _hand_over(events: list[tuple[Ticket, TicketEvent]]) -> None:
    for ticket, event in events:
        ticket.deliver(event)
