"""Adapter families: `hotswap_...` by adapter, and how long clients waited for each.

A histogram is three dozen lines, so only the first adapters that were asked for have
their own. All others, and sums of adapters, of which there is no end, are `OTHERS`: no
adapter can be called so. Who is counted where never changes, so no counter goes down.
"""

from dataclasses import dataclass

from hotswap.adapters.composition import is_written_as_sum
from hotswap.adapters.reserved_names import is_base
from hotswap.api.metrics.exposition import Family, labelled
from hotswap.engine.latencies import Latencies, Observed, OfAdapter, merged
from hotswap.engine.status import Status
from scheduler import BASE

MOST_ADAPTERS = 32
OTHERS = "/others"


@dataclass(frozen=True, slots=True)
class Waits:
    """What the jobs of one adapter, or of several, have waited."""

    first_token: Observed
    between_tokens: Observed
    whole: Observed


def waits(latencies: Latencies) -> dict[str, Waits]:
    """By adapter, as it is labelled: together they are all jobs."""
    counted: dict[str, list[OfAdapter]] = {BASE: [], OTHERS: []}
    for name, of in latencies.by_adapter().items():
        label = _label(name)
        if label not in counted and len(counted) == MOST_ADAPTERS + 2:
            label = OTHERS
        counted.setdefault(label, []).append(of)
    return {
        label: Waits(
            merged([of.first_token.observed() for of in several]),
            merged([of.between_tokens.observed() for of in several]),
            merged([of.whole.observed() for of in several]),
        )
        for label, several in counted.items()
    }


def families(now: Status, waited: dict[str, Waits]) -> list[Family]:
    jobs = Family("hotswap_adapter_jobs", "counter", "Jobs accepted")
    ready = Family("hotswap_adapter_ready", "gauge", "1 if it is served, else 0")
    for known in now.adapters:
        if known.is_nameless:  # of sums there is no end
            continue
        label = labelled(adapter=known.name)
        jobs.add(known.requests, label)
        ready.add(known.generation is not None, label)
    first = Family(
        "hotswap_time_to_first_token_seconds",
        "histogram",
        "From the request to the first token of a job",
    )
    between = Family(
        "hotswap_time_between_tokens_seconds",
        "histogram",
        "From a token of a job to its next one",
    )
    whole = Family(
        "hotswap_end_to_end_seconds",
        "histogram",
        "From the request to the last token of a job",
    )
    for name, each in waited.items():
        label = labelled(adapter=name)
        first.observe(each.first_token, label)
        between.observe(each.between_tokens, label)
        whole.observe(each.whole, label)
    return [jobs, ready, first, between, whole]


def _label(name: str | None) -> str:
    """Of a name as the latencies have it."""
    if name is None or is_written_as_sum(name):
        return OTHERS
    return BASE if is_base(name) else name
