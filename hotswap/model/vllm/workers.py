"""Workers: vLLM's executor, which calls all workers at once. One that has died is the
end of the server: the model is cut over all of them."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from vllm.v1.core.sched.output import GrammarOutput, SchedulerOutput
from vllm.v1.executor import Executor

from hotswap.error_boundary import said
from hotswap.errors import DeviceLost

_LOST = "a worker of vLLM's has ended: so does the server"


class Workers:
    def __init__(self, executor: Executor, count: int) -> None:
        self._executor, self.count = executor, count

    def call(self, method: str, *args: Any) -> list[Any]:
        """A method of every worker's, and what each returned. Raises what one raised,
        or DeviceLost."""
        with self._alive():
            returned: list[Any] = self._executor.collective_rpc(method, args=args)
            return returned

    def execute(self, step: SchedulerOutput) -> Any:
        """Compute a step. None if its tokens are to be sampled now, else vLLM's
        ModelRunnerOutput. Raises as `call`."""
        with self._alive():
            return _result(self._executor.execute_model(step))

    def sample(self, masks: GrammarOutput | None) -> Any:
        """vLLM's ModelRunnerOutput. Raises as `call`."""
        with self._alive():
            return _result(self._executor.sample_tokens(masks))

    def when_lost(self, tell: Callable[[str], object]) -> None:
        """`tell` is called once, on any thread, when one has ended: with why."""
        self._executor.register_failure_callback(lambda: tell(_LOST))

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            try:
                self._executor.check_health()
            except Exception:
                raise DeviceLost(f"{_LOST} ({said(error)})") from error
            raise


def _result(returned: Any) -> Any:
    return returned.result() if isinstance(returned, Future) else returned
