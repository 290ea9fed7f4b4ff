"""A pattern of a config's is tried on the model's names, or refused in time."""

import time
from typing import Any

import pytest

from hotswap.adapters.layout import Layout
from hotswap.adapters.patterns import check_patterns
from hotswap.errors import AdapterRefused
from tests.hotswap.test_parity import make_runner

UNSLOTH = (
    r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense)"
    r".*?(?:k_proj|v_proj|q_proj|o_proj|gate_proj|up_proj|down_proj).*?)|(?:\bmodel\."
    r"layers\.[\d]{1,}\.(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense)\."
    r"(?:(?:k_proj|v_proj|q_proj|o_proj|gate_proj|up_proj|down_proj)))"
)
# Each takes longer than the world has stood, on names of forty letters.
ENDLESS = [
    r"([a-z._0-9]+)+$X",
    r"(.*)*#",
    r"(?:\w|\w\w|[a-z])*\.?(?:\w|.)*!",
    r"(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)"
    r"(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)(.|.)X",
    r"(.*?.*?.*?.*?.*?.*?.*?.*?.*?.*?)#",
]
SETTINGS = [
    *("target_modules", "exclude_modules", "feedforward_modules", "layers_pattern"),
    *("modules_to_save", "rank_pattern", "alpha_pattern", "lambda_pattern"),
    *("n_frequency_pattern", "block_size_pattern"),
]


@pytest.fixture(scope="module")
def layout() -> Layout:
    return make_runner("llama").layout


def given(setting: str, pattern: str) -> dict[str, Any]:
    if setting.endswith("_modules"):
        return {setting: pattern}
    return {setting: {pattern: 4} if setting.endswith("_pattern") else [pattern]}


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_pattern_without_an_end_is_refused_in_time(
    pattern: str, layout: Layout
) -> None:
    start = time.process_time()

    with pytest.raises(AdapterRefused, match=r"target_modules: .* takes too long"):
        check_patterns({"target_modules": pattern}, layout)

    assert time.process_time() - start < 0.1, "it was tried in here"


@pytest.mark.parametrize("setting", SETTINGS)
def test_so_it_is_wherever_peft_takes_a_pattern(setting: str, layout: Layout) -> None:
    with pytest.raises(AdapterRefused, match=setting) as refused:
        check_patterns(given(setting, ENDLESS[0]), layout)

    assert refused.value.code == "bad_config"


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("pattern", ["(", "*", "a{99999999999999}", "[", r"\8"])
def test_what_is_no_pattern_is_refused_with_its_place(
    pattern: str, setting: str, layout: Layout
) -> None:
    with pytest.raises(AdapterRefused, match=rf"{setting}: .* is no pattern"):
        check_patterns(given(setting, pattern), layout)


@pytest.mark.parametrize(
    "pattern", [UNSLOTH, r".*\.(q|v)_proj", "q_proj", r"model\.layers\.\d+\.mlp.*"]
)
def test_what_people_write_passes(pattern: str, layout: Layout) -> None:
    for setting in SETTINGS:
        check_patterns(given(setting, pattern), layout)


@pytest.mark.parametrize("setting", [*SETTINGS, "layers_to_transform"])
def test_far_more_entries_than_the_model_has_modules_are_refused(
    setting: str, layout: Layout
) -> None:
    names = [f"layers.{n}.q_proj" for n in range(10**5)]
    many: Any = dict.fromkeys(names, 4) if setting.endswith("_pattern") else names

    with pytest.raises(AdapterRefused, match=f"{setting} has 100000 entries"):
        check_patterns({setting: many}, layout)
