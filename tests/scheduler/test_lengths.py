"""Lengths: what the past of an adapter tells of an answer's rest."""

from random import Random

import pytest

from scheduler.lengths import Lengths


def test_a_few_answers_tell_nothing() -> None:
    lengths = Lengths()

    for _ in range(4):
        lengths.learn("a", 100)

    assert lengths.expected_remaining("a", 0) is None


def test_answers_that_are_all_alike_are_guessed_closely() -> None:
    lengths = Lengths()
    for _ in range(50):
        lengths.learn("a", 100)

    assert lengths.expected_remaining("a", 0) == pytest.approx(100, rel=0.25)
    assert lengths.expected_remaining("a", 60) == pytest.approx(40, rel=0.5)


def test_an_answer_that_became_old_is_expected_to_be_one_of_the_long_ones() -> None:
    """Half of them 8 tokens, half 512: at 16 tokens there are only long ones."""
    lengths, random = Lengths(), Random(1)
    for _ in range(200):
        lengths.learn("a", random.choice([8, 512]))

    young, old = (lengths.expected_remaining("a", age) for age in (0, 16))

    assert young is not None
    assert old is not None
    assert 150 < young < 400 < old < 650


def test_the_past_fades() -> None:
    lengths = Lengths()
    for tokens in [512] * 100 + [8] * 300:
        lengths.learn("a", tokens)

    guess = lengths.expected_remaining("a", 0)

    assert guess is not None
    assert guess < 16


def test_adapters_are_known_apart() -> None:
    lengths = Lengths()
    for _ in range(10):
        lengths.learn("a", 8)
        lengths.learn("b", 512)

    a, b = lengths.expected_remaining("a", 0), lengths.expected_remaining("b", 0)

    assert a is not None
    assert b is not None
    assert b > 30 * a
