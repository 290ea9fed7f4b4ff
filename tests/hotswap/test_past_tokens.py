"""Past tokens: each job finds its own, however long it and the others get."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.model.network.past_tokens import Past, PastTokens

CPU = torch.device("cpu")

jobs = st.lists(
    st.tuples(
        st.integers(0, 200),  # tokens of its prompt
        st.integers(0, 30),  # when it comes
        st.integers(0, 300),  # tokens of its answer
    ),
    min_size=1,
    max_size=6,
)


def add(owner: PastTokens, pasts: dict[int, Past], token: int) -> None:
    """One step: each of them gets a token of its own."""
    for past in pasts.values():
        past.reserve()
    places = [past.start + past.tokens for past in pasts.values()]
    said = [1000 * job + token for job in pasts]
    owner.append(torch.tensor(places), torch.tensor(said))
    for past in pasts.values():
        past.tokens += 1


@settings(deadline=None, max_examples=40)
@given(jobs)
def test_each_job_finds_its_own_tokens_while_others_grow_and_leave(
    jobs: list[tuple[int, int, int]],
) -> None:
    owner = PastTokens(CPU)
    pasts: dict[int, Past] = {}
    wanted: dict[int, list[int]] = {}
    for step in range(331):
        for job, (prompt, comes, answer) in enumerate(jobs):
            if step == comes:
                wanted[job] = [7000 + n for n in range(prompt)]
                pasts[job] = owner.open(wanted[job])
            elif step == comes + answer and job in pasts:
                pasts.pop(job).close()
        if pasts:
            add(owner, pasts, step)
        for job in pasts:
            wanted[job].append(1000 * job + step)
        for job, past in pasts.items():
            held = owner.tokens[past.start : past.start + past.tokens]
            assert held.tolist() == wanted[job]
            assert past.prompt == jobs[job][0]


def test_places_that_were_left_are_taken_again() -> None:
    owner = PastTokens(CPU)
    assert len(owner.tokens) == 0, "memory is taken by the first job"
    sizes = []
    for _ in range(20):
        pasts = {job: owner.open([1, 2, 3]) for job in range(3)}
        for token in range(100):
            add(owner, pasts, token)
        for past in pasts.values():
            past.close()
        sizes.append(len(owner.tokens))

    assert len(set(sizes)) == 1
    assert sizes[0] <= 4 * 3 * 128
