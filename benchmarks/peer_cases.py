"""What the servers of `benchmarks.peers` are asked, and what is to be reached."""

from dataclasses import dataclass, replace

from benchmarks.answers import Result
from benchmarks.serve import run
from benchmarks.traces import Trace, closed, fixed, generate

NAMES = [f"a{number}" for number in range(8)]
PROMPT, OUTPUT = 80, 64
# Of vLLM with LoRA, in every case.
LEAST_OF_LORA = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`requests`: in a round; `few`: of vLLM with LoRA, the slowest. `least`: the speed
    to be reached, as a share of the bare model's in vLLM. `figure` of benchmarks.serve
    is the speed. `is_cut`: the loop is measured while all its clients are busy, and
    their first answers are of all lengths: it begins as if it had gone on for long, as
    16 answers that begin and end together are no traffic."""

    name: str
    clients: int
    requests: int
    few: int
    least: float
    adapters: int = 1
    stay: float = 0.0
    prompt: int = PROMPT
    output: int = OUTPUT
    figure: str = "steady_tokens_per_s"
    is_cut: bool = True

    @property
    def of_bare(self) -> tuple[int, int, int]:
        """Alike for cases that are the same where there are no adapters."""
        return self.clients, self.prompt, self.output

    def trace(self, seed: int, *, has_lora: bool = False, share: float = 1.0) -> Trace:
        count = round((self.few if has_lora else self.requests) * share)
        made = generate(
            seed,
            max(self.clients + self.is_cut, count),
            arrivals=closed(self.clients),
            adapters=NAMES[: self.adapters],
            zipf=1.0,
            stay=self.stay,
            prompt=fixed(self.prompt),
            output=fixed(self.output),
        )
        if not self.is_cut:
            return made
        first = [
            replace(r, output_tokens=-(-self.output * (r.id + 1) // self.clients))
            for r in made.requests[: self.clients]
        ]
        rest = made.requests[self.clients :]
        return replace(made, requests=(*first, *rest))

    def ask(self, url: str, trace: Trace, *, base_only: bool) -> Result:
        """`base_only`: of the bare model, whichever adapters the trace names."""
        if base_only:
            bare = tuple(replace(r, adapter=None) for r in trace.requests)
            trace = replace(trace, requests=bare)
        return run(url, trace, cut=self.is_cut)


def _many(name: str, requests: int, least: float, **more: float) -> Case:
    return Case(
        name=f"16 clients, {name}",
        clients=16,
        requests=requests,
        few=24,
        least=least,
        adapters=int(more.get("adapters", 1)),
        stay=more.get("stay", 0.0),
    )


def _prefill(clients: int, requests: int) -> Case:
    # Whole-run figure: a prompt comes at once, a window would cut at random.
    return Case(
        name=f"prefill, {clients} client{'s' * (clients > 1)}",
        clients=clients,
        requests=requests,
        few=requests,
        least=1.0,
        prompt=512,
        output=1,
        figure="prompt_tokens_per_s",
        is_cut=False,
    )


CASES = [
    _many("1 adapter", 40, 1.0),
    Case(
        name="1 client, 1 adapter",
        clients=1,
        requests=2,
        few=2,
        least=1.0,
        figure="tokens_per_s",
        is_cut=False,
    ),
    _many("zipf over 8", 48, 0.8, adapters=8),
    _many("zipf over 8, 90 % locality", 48, 0.8, adapters=8, stay=0.9),
    _prefill(1, 4),
    _prefill(4, 4),
]
# Unmeasured: every adapter has been there, and batches of all sizes.
WARMUP = replace(CASES[2], requests=32, few=24, output=16, is_cut=False)
# By which vLLM's type is chosen.
TRIAL = Case(
    name="trial",
    clients=4,
    requests=4,
    few=4,
    least=0.0,
    output=16,
    figure="tokens_per_s",
    is_cut=False,
)
