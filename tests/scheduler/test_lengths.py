"""Lengths: what the past of an adapter tells of an answer's rest."""

import math
from random import Random

import pytest

from scheduler.lengths import Lengths

MOST = 1024.0


def test_before_the_first_answer_every_length_up_to_the_most_is_as_likely() -> None:
    """On a logarithmic scale, whose middle is the square root of M."""
    lengths = Lengths()

    for most in (64.0, 256.0, 4096.0):
        guess = lengths.expected_remaining("a", 0.0, most)
        assert guess == pytest.approx(math.sqrt(most), rel=0.25)


def test_a_guess_is_never_more_than_what_is_left_to_ask_for() -> None:
    lengths = Lengths()
    for _ in range(50):
        lengths.learn("a", 500)

    for age in (0.0, 1.0, 30.0, 63.0):
        assert 0.0 < lengths.expected_remaining("a", age, 64.0) <= 64.0 - age


def test_a_new_adapter_is_taken_to_be_like_the_others_until_it_has_answered() -> None:
    lengths = Lengths()
    for _ in range(50):
        lengths.learn("others", 100)
    at_first = lengths.expected_remaining("new", 0.0, MOST)

    for _ in range(10):
        lengths.learn("new", 8)

    assert at_first == pytest.approx(100, rel=0.35)
    assert lengths.expected_remaining("new", 0.0, MOST) < at_first / 2


def test_answers_that_are_all_alike_are_guessed_closely() -> None:
    lengths = Lengths()
    for _ in range(50):
        lengths.learn("a", 100)

    assert lengths.expected_remaining("a", 0, MOST) == pytest.approx(100, rel=0.25)
    assert lengths.expected_remaining("a", 60, MOST) == pytest.approx(40, rel=0.5)


def test_an_answer_that_became_old_is_expected_to_be_one_of_the_long_ones() -> None:
    """Half of them 8 tokens, half 512: at 16 tokens there are only long ones."""
    lengths, random = Lengths(), Random(1)
    for _ in range(200):
        lengths.learn("a", random.choice([8, 512]))

    young, old = (lengths.expected_remaining("a", age, MOST) for age in (0, 16))

    assert 8 < young < 150
    assert 400 < old < 650


def test_the_past_fades() -> None:
    lengths = Lengths()
    for tokens in [512] * 100 + [8] * 300:
        lengths.learn("a", tokens)

    guess = lengths.expected_remaining("a", 0, MOST)

    assert guess < 16


def test_adapters_are_known_apart() -> None:
    lengths = Lengths()
    for _ in range(10):
        lengths.learn("a", 8)
        lengths.learn("b", 512)

    a, b = (lengths.expected_remaining(name, 0, MOST) for name in "ab")

    assert b > 6 * a
