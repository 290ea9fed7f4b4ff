"""The engine in process: jobs in a closed crowd, by trace and policy.

All jobs are there from the start; each ends at its `max_tokens`, greedy. The costs are
measured first (`scheduler.Costs.state()`, kept as the machine's table) and go on
learning from run to run. Hides: HTTP, and reading adapters from disk.
"""

import asyncio
import time
from collections.abc import Sequence
from random import Random

from benchmarks.baselines import CONTENDERS
from benchmarks.gpu.model import RANK, adapters, load_random, make_executor
from benchmarks.gpu.setting import Figures, Setting
from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Submit
from hotswap.model.calibrate import measure
from hotswap.model.executor_choice import ModelExecutor
from hotswap.model.network.loaded import Loaded
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer
from scheduler import Costs, Scheduler, SchedulerLimits

POLICIES = ("affinity", "fcfs-mixed", "fcfs-merged")
CALIBRATION_S = 15.0


def run(setting: Setting, shape: str = "1b") -> Figures:
    loaded = load_random(shape, setting)
    executor = make_executor(
        loaded,
        slots=1,
        max_batch=4 if setting.tiny else 256,
        prefill_tokens=64 if setting.tiny else 2048,
        kv_tokens=512 if setting.tiny else 80_000,
    )
    yield "executor", executor.kind
    costs = measure(executor, executor.max_batch, limit_s=CALIBRATION_S).costs
    yield "costs", costs.state()
    jobs, tokens = (4, 8) if setting.tiny else (256, 128)
    made = adapters(executor, 2 if setting.tiny else 16)
    crowd = Crowd(loaded, executor, made, costs, tokens)
    crowd.serve("affinity", [0] * jobs)  # warms up
    for name, weights in _traces(len(made)).items():
        chosen = Random(1).choices(range(len(made)), weights, k=jobs)
        for policy in POLICIES:
            yield (
                f"engine, {name}, {policy}, tokens/s",
                crowd.serve(policy, chosen),
            )
    yield "costs after", costs.state()


def _traces(count: int) -> dict[str, list[float]]:
    """Weights of the adapters."""
    return {
        "one adapter": [1.0] + [0.0] * (count - 1),
        "zipf": [1.0 / (n + 1) for n in range(count)],
        "uniform": [1.0] * count,
    }


class Crowd:
    """Prompts and answers of `tokens` each; a new engine for each run."""

    def __init__(
        self,
        loaded: Loaded,
        executor: ModelExecutor,
        made: Sequence[Generation],
        costs: Costs,
        tokens: int,
    ) -> None:
        self._loaded, self._executor = loaded, executor
        self._made, self._costs, self._tokens = made, costs, tokens

    def serve(self, policy: str, chosen: Sequence[int]) -> float:
        """Tokens of answers per second, from the first prompt to the last token."""
        self._executor.weights.activate(None)
        for generation in self._made:
            self._executor.forget(generation.key)
        limits = SchedulerLimits(
            kv_tokens=self._executor.kv_tokens,
            max_batch=self._executor.max_batch,
            max_waiting=1000,
            prefill_tokens=self._executor.prefill_tokens,
            patience_s=1.0,
            launches_ahead=self._executor.launches_ahead,
            block_tokens=self._executor.block_tokens,
        )
        engine = Engine(
            self._executor,
            Scheduler(CONTENDERS[policy](), limits, costs=self._costs),
            Store(),
            Tokenizer(self._loaded.tokenizer),
            eos=frozenset(),
            context=self._executor.kv_tokens,
            prefix_cache=False,
            fetch=lambda name: None,  # all are in memory
            compose=lambda order: None,
        )
        for number, generation in enumerate(self._made):
            name = f"a{number}"
            engine.post(Adopt(name, generation, Origin(src=name)))
        engine.start()
        begun = time.perf_counter()
        told = asyncio.run(self._ask(engine, chosen))
        seconds = time.perf_counter() - begun
        engine.stop(5.0)
        assert told == len(chosen) * self._tokens, told
        return told / seconds

    async def _ask(self, engine: Engine, chosen: Sequence[int]) -> int:
        """Tokens that came back."""
        params = SamplingParams(
            max_tokens=self._tokens, temperature=0.0, ignore_eos=True
        )

        async def client(number: int, adapter: int) -> int:
            ticket = engine.open_ticket()
            prompt = tuple((number * 7 + n) % 250 for n in range(self._tokens))
            engine.post(
                Submit(
                    ticket=ticket, adapter=f"a{adapter}", prompt=prompt, params=params
                )
            )
            await ticket.accepted()
            return len([piece async for piece in ticket.pieces()])

        answers = (client(n, adapter) for n, adapter in enumerate(chosen))
        return sum(await asyncio.gather(*answers))


def machine_table(shape: str, card: str, state: object) -> dict[str, object]:
    """In the form of `benchmarks/machine.json`."""
    return {
        "how": "fitted by scheduler.Costs to the steps and swaps that "
        f"hotswap.model.calibrate.measure ran on random weights of Llama's {shape} "
        f"shape in bfloat16, rank {RANK} on all linear modules, on one {card}",
        "state": state,
    }
