"""Every LoRA option of DJL and vLLM acts, ends the start, or is warned about."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hotswap import config, options
from hotswap.errors import StartFailed
from hotswap.options import LoraConfig, unless_auto

# Rows of the options table that are read, as a variable's text and what it means.
ACTING: dict[str, tuple[str, str, object]] = {
    "enable_lora": ("false", "enable_lora", False),
    "enable_lora in capitals": ("True", "enable_lora", True),
    "max_loras": ("4", "max_loras", 4),
    "max_lora_rank": ("64", "max_lora_rank", 64),
    "max_cpu_loras": ("8", "max_cpu_loras", 8),
    "target_modules": ("q_proj, v_proj", "target_modules", ["q_proj", "v_proj"]),
    "target_modules as JSON": ('["q_proj"]', "target_modules", ["q_proj"]),
    "lora_dtype": ("bfloat16", "lora_dtype", "bfloat16"),
    "auto": ("auto", "max_loras", "auto"),
}
REFUSED = {
    "long_lora_scaling_factors": ["4.0", "3.0,4.0", "[3.0, 4.0]"],
    "is_peft_model": ["true"],
    "default_mm_loras": ['{"image": "a"}'],
}
WARNED = {"fully_sharded_loras": "true", "lora_extra_vocab_size": "256"}
BAD = [
    ("max_loras", "0"),
    ("max_loras", "many"),
    ("max_lora_rank", "-1"),
    ("max_cpu_loras", "2.5"),
    ("enable_lora", "perhaps"),
    ("lora_dtype", "int8"),
    ("target_modules", "[q_proj"),
    ("default_mm_loras", "[]"),
]


def load(environment: dict[str, str], **lora: Any) -> LoraConfig:
    return config.load(None, {"lora": lora}, environment).lora


def refusal(environment: dict[str, str], **lora: Any) -> str:
    with pytest.raises(StartFailed) as failed:
        load(environment, **lora)
    assert "\n" not in str(failed.value)
    return str(failed.value)


def test_no_row_of_the_table_is_forgotten() -> None:
    tested = {key for _, key, _ in ACTING.values()} | REFUSED.keys() | WARNED.keys()

    assert tested == set(LoraConfig.__struct_fields__)


@pytest.mark.parametrize(("text", "key", "value"), ACTING.values(), ids=list(ACTING))
def test_an_option_is_read_from_the_environment(
    text: str, key: str, value: object
) -> None:
    found = load({f"OPTION_{key.upper()}": text})

    assert getattr(found, key) == value
    assert not options.warnings(found)


@pytest.mark.parametrize(("key", "texts"), REFUSED.items(), ids=list(REFUSED))
def test_an_option_that_would_change_answers_ends_the_start(
    key: str, texts: list[str]
) -> None:
    for text in texts:
        assert f"lora.{key}" in refusal({f"OPTION_{key.upper()}": text})


def test_the_value_that_changes_nothing_is_accepted() -> None:
    assert load({"OPTION_IS_PEFT_MODEL": "false", "OPTION_DEFAULT_MM_LORAS": "{}"})


@pytest.mark.parametrize(("key", "text"), WARNED.items(), ids=list(WARNED))
def test_an_option_without_a_meaning_here_is_warned_about_in_one_line(
    key: str, text: str
) -> None:
    (line,) = options.warnings(load({f"OPTION_{key.upper()}": text}))

    assert f"lora.{key}" in line
    assert "\n" not in line


@pytest.mark.parametrize(("key", "text"), BAD)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    key: str, text: str
) -> None:
    assert f"OPTION_{key.upper()}" in refusal({f"OPTION_{key.upper()}": text})


def test_an_empty_variable_says_nothing() -> None:
    """As in DJL, where a container's variables may all be there."""
    assert load({"OPTION_MAX_LORAS": "", "OPTION_LORA_DTYPE": ""}) == LoraConfig()


def test_auto_leaves_the_choice_to_whom_it_is_handed() -> None:
    assert unless_auto(load({}, max_loras="auto").max_loras) is None
    assert unless_auto(load({}, max_loras=4).max_loras) == 4


def test_the_host_must_hold_what_a_step_may_use() -> None:
    said = refusal({}, max_loras=8, max_cpu_loras=4)

    assert "max_cpu_loras" in said
    assert "max_loras = 8" in said


def test_adapters_run_in_the_models_type() -> None:
    options.check_dtype(LoraConfig(), "bfloat16")
    options.check_dtype(LoraConfig(lora_dtype="bfloat16"), "bfloat16")
    with pytest.raises(StartFailed, match=r"lora\.lora_dtype: float16"):
        options.check_dtype(LoraConfig(lora_dtype="float16"), "bfloat16")


def test_a_flag_wins_over_the_file_and_the_file_over_the_environment(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hotswap.toml"
    path.write_text('[lora]\nmax_loras = 2\n[adapters]\ndirectory = "file"')
    environment = {
        "OPTION_MAX_LORAS": "3",
        "OPTION_MAX_LORA_RANK": "8",
        "OPTION_ADAPTERS": "environment",
    }

    alone = config.load(None, {}, environment)
    with_file = config.load(path, {}, environment)
    with_flag = config.load(path, {"adapters": {"directory": "flag"}}, environment)

    assert alone.lora.max_loras == 3
    assert alone.adapters.directory == "environment"
    assert with_file.lora.max_loras == 2
    assert with_file.lora.max_lora_rank == 8
    assert with_file.adapters.directory == "file"
    assert with_flag.adapters.directory == "flag"


def test_a_misspelled_key_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hotswap.toml"
    path.write_text("[lora]\nmax_lora = 4")

    with pytest.raises(StartFailed, match="max_lora"):
        config.load(path, {})


@pytest.mark.slow
def test_the_command_reads_the_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hotswap.cli", "serve", "x"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "OPTION_MAX_LORAS": "0"},
    )

    assert done.returncode == 2
    assert "OPTION_MAX_LORAS=0" in done.stderr
    assert "Traceback" not in done.stderr
