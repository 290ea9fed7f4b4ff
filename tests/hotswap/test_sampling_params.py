"""How long an answer may be, by its parameters and the room that its prompt leaves."""

import pytest

from hotswap.errors import PromptTooLong
from hotswap.sampling_params import SamplingParams


@pytest.mark.parametrize(
    ("max_tokens", "prompt", "answer"),
    [(5, 3, 5), (None, 3, 7), (7, 3, 7), (None, 9, 1)],
)
def test_an_answer_is_as_long_as_was_said_or_as_fits(
    max_tokens: int | None, prompt: int, answer: int
) -> None:
    params = SamplingParams(max_tokens=max_tokens)

    assert params.answer_tokens(prompt, 10, "prompt") == answer


@pytest.mark.parametrize(
    ("max_tokens", "prompt", "said"),
    [(8, 3, "up to 8"), (None, 10, "up to 1"), (None, 30, "30 tokens and up to 1")],
)
def test_a_prompt_that_leaves_no_room_is_refused_by_its_field(
    max_tokens: int | None, prompt: int, said: str
) -> None:
    params = SamplingParams(max_tokens=max_tokens)

    with pytest.raises(PromptTooLong, match=f"`messages` has .*{said}.* 10 fit") as no:
        params.answer_tokens(prompt, 10, "messages")

    assert no.value.field == "messages"
