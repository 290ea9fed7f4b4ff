"""Event loop: the operator's coroutines, together on one thread, as in DJL."""

import asyncio
import logging
import threading
from functools import partial

from hotswap.handler.calls import Call, Overtime, raise_in

log = logging.getLogger(__name__)


class EventLoop:
    """`is_lost`: it is retired."""

    def __init__(self) -> None:
        """Starts its thread. Raises RuntimeError if the system has none."""
        self.is_lost = False
        self._calls: set[Call] = set()
        self._loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="handler", daemon=True)
        self.thread.start()

    def begin(self, call: Call) -> None:
        self._loop.call_soon_threadsafe(self._begin, call)

    def cancel(self, call: Call) -> None:
        """Ask a call to end; `call.was_told` then says whether the loop has heard."""
        self._loop.call_soon_threadsafe(call.cancel)

    def interrupt(self) -> None:
        """A call keeps the thread: end it if it can be ended."""
        raise_in(self.thread)
        self.retire()

    def retire(self) -> None:
        """Begin no call any more, and end with the last one."""
        self.is_lost = True
        self._loop.call_soon_threadsafe(self._end_if_idle)

    def _begin(self, call: Call) -> None:
        self._calls.add(call)
        coroutine = call.work()
        call.task = self._loop.create_task(coroutine, context=call.context)
        call.task.add_done_callback(partial(self._over, call))

    def _over(self, call: Call, task: "asyncio.Task[object]") -> None:
        self._calls.discard(call)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        result = task.result() if error is None else None
        if call.passes():
            call.settle(result, error)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self.is_lost and not self._calls:
            self._loop.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while True:
            try:
                self._loop.run_forever()
                break
            except Overtime:
                pass  # it came between two steps
            except BaseException as error:  # sys.exit in a task of the module's own
                log.warning("the handler's event loop goes on", exc_info=error)
        self._loop.close()
