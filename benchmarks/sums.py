"""Sums: a cold swap to a sum of adapters beside those to its parts.

    python -m benchmarks.sums

CPU time, of the demo's adapters, alternating: a swap is work of one thread after
another, and a busy machine moves the wall clock.
"""

import json
import statistics
import time
from collections import defaultdict

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.adapters.sum_parts import Part
from hotswap.adapters.weighted_sum import weighted_sum
from hotswap.demo.__main__ import ADAPTERS, model_file
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.load import load

_ROUNDS = 9


def main() -> None:
    """Print the medians, and a last line of JSON."""
    executor = EagerExecutor(load(str(model_file()), "float32", "cpu"), slots=1)
    layout = executor.layout
    parts = {name: read(ADAPTERS / name, layout) for name in ("pirate", "sql")}
    terms = [Part(name, 0.5, generation) for name, generation in parts.items()]
    contenders = {**parts, "sum": weighted_sum("sum", terms, layout=layout)}
    found = {name: 1e3 * each for name, each in _swaps(executor, contenders).items()}
    for name, ms in found.items():
        of = contenders[name]
        print(f"{name:8} rank {of.rank:3}  modules {of.modules:4}  {ms:6.0f} ms")
    print(json.dumps({name: round(ms) for name, ms in found.items()}))


def _swaps(
    executor: EagerExecutor, contenders: dict[str, Generation]
) -> dict[str, float]:
    """Seconds of CPU time, the median of each."""
    taken: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(_ROUNDS):
        for name, generation in contenders.items():
            start = time.process_time()
            executor.weights.activate(generation)
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(each) for name, each in taken.items()}


if __name__ == "__main__":
    main()
