"""Best of: which of a prompt's answers go out."""

from collections.abc import Sequence

from hotswap.api.shared.running import Answer


def best(answers: Sequence[Answer], *, candidates: int, n: int) -> list[int]:
    """Of each `candidates` answers, which follow each other, the places of the `n` with
    the highest log-probability per token, best first: OpenAI's `best_of`. Every piece
    has to be scored."""
    found = []
    for start in range(0, len(answers), candidates):
        places = range(start, start + candidates)
        found += sorted(places, key=lambda place: -_mean(answers[place]))[:n]
    return found


def _mean(answer: Answer) -> float:
    scores = [piece.scored.logprob for piece in answer.tokens if piece.scored]
    return sum(scores) / len(scores) if scores else 0.0
