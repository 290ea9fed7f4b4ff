"""What `benchmarks.peers` prints: the speeds, the first tokens, and the targets."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from benchmarks.peer_cases import CASES, LEAST_OF_LORA

# [case][who]: one for each round.
Rounds = dict[str, defaultdict[str, list[float]]]


def speeds(
    chosen: Sequence[str], figures: Rounds, ours: str = "ours"
) -> dict[str, float]:
    """Prints the table; the ratios ours / theirs. `ours`: which one."""
    ratios = {}
    print(
        f"| tokens/s | {ours} | {' | '.join(f'{who} | {ours} /' for who in chosen)} |"
    )
    print("|---" * (2 + 2 * len(chosen)) + "|")
    for case, by_server in figures.items():
        if ours not in by_server:
            continue
        cells = [case, f"{median(by_server[ours]):.0f}"]
        for who in chosen:
            if who in by_server:
                ratio = ratio_of(by_server, who, ours)
                ratios[f"{case}: {ours} / {who}"] = round(ratio, 3)
                cells += [f"{median(by_server[who]):.0f}", f"{ratio:.2f}"]
            else:
                cells += ["", ""]
        print(f"| {' | '.join(cells)} |")
    return ratios


def ratio_of(
    by_server: defaultdict[str, list[float]], who: str, ours: str = "ours"
) -> float:
    """Above 1 we are faster: the median of the rounds' ratios, as the machine's speed
    moves less within a round than over all of them."""
    pairs = zip(by_server[ours], by_server[who], strict=True)
    return median(our / their for our, their in pairs)


def first_tokens(who: Sequence[str], waits: Rounds) -> None:
    print(f"\n| first token, p50, ms | {' | '.join(who)} |")
    print("|---" * (1 + len(who)) + "|")
    for case, by_server in waits.items():
        seen = (by_server.get(each) for each in who)
        cells = [f"{median(times):.0f}" if times else "-" for times in seen]
        print(f"| {case} | {' | '.join(cells)} |")


def targets(figures: Rounds) -> dict[str, bool]:
    """Prints what was to be reached; whether it was, by case and server."""
    met = {}
    print("\n| ours / | target | reached | |\n|---|---|---|---|")
    for case in CASES:
        for who, least in (("vllm", case.least), ("vllm-lora", LEAST_OF_LORA)):
            if who not in figures.get(case.name, ()):
                continue
            ratio = ratio_of(figures[case.name], who)
            name = f"{case.name}: ours / {who}"
            met[name] = ratio >= least
            told = "met" if met[name] else "not met"
            print(f"| {who}, {case.name} | {least} | {ratio:.2f} | {told} |")
    return met
