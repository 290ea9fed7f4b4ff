"""Traces made to break the bounds, and machines to play them on."""

from random import Random

from scheduler import Job
from tests.scheduler.traces import Machine, job


def pattern(names: str, *, every_s: float = 0.050, jobs: int = 160) -> list[Job]:
    return [
        job(n, names[n % len(names)], prompt=8, tokens=12, arrival=n * every_s)
        for n in range(jobs)
    ]


def bursts(seed: int) -> list[Job]:
    """All at once, again and again, for anybody, prompts long and short."""
    random = Random(seed)
    return [
        job(
            n,
            random.choice("aaaabcdef"),
            prompt=random.choice([4, 40, 300]),
            tokens=random.randint(1, 60),
            arrival=float(n // 40) * 1.5,
        )
        for n in range(160)
    ]


def merged_only(seed: int) -> list[Job]:
    """Half of the adapters must have a turn of their own."""
    trace = bursts(seed)
    for each in trace:
        each.can_mix = each.generation not in "bdf"
        each.can_merge = each.generation != "c"
    return trace


def urgent(seed: int) -> list[Job]:
    """Many claim to be urgent; who does not must not wait for ever."""
    random = Random(seed)
    trace = pattern("AAAAB", every_s=0.02)
    for each in trace:
        if each.generation == "A":
            each.priority = random.choice([-5, 0])
            each.deadline = random.choice([None, each.arrival + 0.05])
    return trace


ADVERSARIES = {
    "round robin": lambda: pattern("ABCDEFGH"),
    "one hot, one cold": lambda: pattern("AAAAAAAAAAAAAAAAAAAB"),
    "A,B,A,A": lambda: pattern("ABAA"),
    "two, and too many": lambda: pattern("AB", every_s=0.004),
    "all alone": lambda: pattern("".join(chr(i) for i in range(200, 360))),
    "bursts": lambda: bursts(1),
    "bursts again": lambda: bursts(2),
    "merged only": lambda: merged_only(3),
    "merged only again": lambda: merged_only(4),
    "urgent": lambda: urgent(5),
}


MACHINES = {
    "mixing is cheap": lambda: Machine(adapter=0.0001),
    "mixing is dear": lambda: Machine(adapter=0.020),
    "swaps are dear": lambda: Machine(cold=0.4, warm=0.002),
    "rows are dear": lambda: Machine(step=0.002, sequence=0.004, context=1e-5),
}
