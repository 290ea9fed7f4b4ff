"""best_of: of all answers those go out whose tokens are the likeliest on average."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from hotswap.api.openai.best_of import best
from hotswap.api.shared.running import Answer
from hotswap.engine.ticket import Piece
from hotswap.model.network.rows import Scored
from scheduler import Mode
from tests.hotswap.api.scripted import (
    BYTES,
    ScriptedEngine,
    ask,
    scripted_client,
    tokens_of,
)

SCORES = st.lists(st.integers(-64, 0), min_size=1, max_size=5)


def answer_of(scores: Sequence[float]) -> Answer:
    answer = Answer()
    for score in scores:
        answer.add(Piece(token=1, text="", mode=Mode.MERGED, scored=Scored(1, score)))
    return answer


@given(data=st.data(), n=st.integers(1, 3), more=st.integers(0, 3))
def test_no_answer_that_stays_is_likelier_than_one_that_goes_out(
    data: st.DataObject, n: int, more: int
) -> None:
    scores = data.draw(
        st.lists(SCORES, min_size=2 * (n + more), max_size=2 * (n + more))
    )
    means = [sum(each) / len(each) for each in scores]

    found = best([answer_of(each) for each in scores], candidates=n + more, n=n)

    assert len(found) == 2 * n
    for prompt, kept in enumerate((found[:n], found[n:])):
        places = range(prompt * (n + more), (prompt + 1) * (n + more))
        assert {*kept} <= {*places}
        assert [means[place] for place in kept] == sorted(
            (means[place] for place in places), reverse=True
        )[:n]


def test_the_best_go_out_for_each_prompt_and_the_usage_counts_all() -> None:
    # A token is the likelier the lower it is, and a long answer is no worse for that.
    answers = [tokens_of(text) for text in ("zz", "a", "bbb", "y", "c", "xx")]
    engine = ScriptedEngine(tokenizer=BYTES, answers=answers)
    with scripted_client(engine) as client:
        answer = ask(
            client, "completions", prompt=["p", "q"], n=2, best_of=3, echo=True
        )

    choices = [(one["index"], one["text"]) for one in answer["choices"]]
    assert choices == [(0, "pa"), (1, "pbbb"), (2, "qc"), (3, "qxx")]
    assert all(one["logprobs"] is None for one in answer["choices"])
    assert answer["usage"]["completion_tokens"] == sum(map(len, answers))
    assert [message.params.logprobs for message in engine.messages] == [0] * 6
