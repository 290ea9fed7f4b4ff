"""Each key is honoured, or named in the warning, or ends the start."""

from pathlib import Path
from typing import Any

import pytest

from hotswap import options
from hotswap.config import Config
from hotswap.djl_config.key_table import KEYS
from hotswap.djl_config.rules import Inert, Refused
from tests.hotswap.djl_config.folders import djl_folder, refusal, started

HONOURED: dict[str, tuple[str, object]] = {
    "option.dtype=fp32": ("model.dtype", "float32"),
    "option.dtype=FP16": ("model.dtype", "float16"),
    "option.dtype=bf16": ("model.dtype", "bfloat16"),
    "option.dtype=float32": ("model.dtype", "float32"),
    "option.dtype=auto": ("model.dtype", "auto"),
    "option.max_model_len=2048": ("model.max_model_len", 2048),
    "option.max_rolling_batch_size=64": ("schedule.max_batch", 64),
    "option.max_num_seqs=64": ("schedule.max_batch", 64),
    "option.max_rolling_batch_prefill_tokens=99": ("schedule.prefill_tokens", 99),
    "option.max_num_batched_tokens=99": ("schedule.prefill_tokens", 99),
    "option.enable_lora=true": ("lora.enable_lora", True),
    "option.enable_lora=False": ("lora.enable_lora", False),
    "option.max_loras=4": ("lora.max_loras", 4),
    "option.max_lora_rank=64": ("lora.max_lora_rank", 64),
    "option.max_cpu_loras=8": ("lora.max_cpu_loras", 8),
    "option.lora_dtype=fp16": ("lora.lora_dtype", "float16"),
    "option.target_modules=q_proj,v_proj": (
        "lora.target_modules",
        ["q_proj", "v_proj"],
    ),
    "option.enable_prefix_caching=false": ("memory.prefix_cache", False),
    "option.tool_call_parser=hermes": ("model.tool_parser", "hermes"),
    "option.reasoning_parser=qwen3": ("model.reasoning_parser", "qwen3"),
    "option.device=cpu": ("model.device", "cpu"),
    "load_on_devices=-1": ("model.device", "cpu"),
    "load_on_devices=*": ("model.device", "auto"),
    "load_on_devices=0": ("model.device", "auto"),
    "load_on_devices=gpu1;gpu2": ("model.device", "cuda:1"),
    "job_queue_size=100": ("schedule.max_waiting", 100),
}
SILENT = """
engine=Python
engine=MPI
option.entryPoint=djl_python.huggingface
option.entryPoint=djl_python.lmi_vllm.vllm_async_service
option.rolling_batch=auto
option.rolling_batch=vllm
option.rolling_batch=lmi-dist
option.async_mode=true
option.mpi_mode=false
option.task=text-generation
option.tensor_parallel_degree=1
option.handler=handle
option.pythonExecutable=python3
option.trust_remote_code=false
option.output_formatter=json
option.is_peft_model=false
option.fully_sharded_loras=false
option.quantize=
batch_size=1
minWorkers=1
""".split()
WARNED = """
option.tensor_parallel_degree=4
option.tensor_parallel_degree=max
option.rolling_batch=disable
option.trust_remote_code=true
option.gpu_memory_utilization=0.9
option.speculative_draft_model=org/small
option.load_format=dummy
option.fully_sharded_loras=true
option.lora_extra_vocab_size=256
option.no_such_option=1
batch_size=8
max_batch_delay=100
max_idle_time=60
minWorkers=2
gpu.maxWorkers=4
no_such_key=1
""".split()
ENDS = """
engine=PyTorch
engine=OnnxRuntime
option.entryPoint=djl_python.sklearn_handler
option.entryPoint=https://example.com/model.py
option.entryPoint=missing.py
option.entryPoint=package.module
option.task=text-embedding
option.quantize=awq
option.quantize=fp8
option.load_in_8bit=true
option.kv_cache_dtype=fp8
option.chat_template=./template.jinja
option.tokenizer=org/other
option.rope_theta=10000
option.output_formatter=jsonlines
option.tgi_compat=true
option.handler=other
option.is_peft_model=true
option.long_lora_scaling_factors=4.0
option.default_mm_loras={"image":"a"}
option.dtype=int8
option.max_loras=0
option.max_loras=many
option.max_model_len=-1
option.device=abacus
option.reasoning_parser=granite
load_on_devices=abacus
option.model_id=djl://ai.djl.zoo/mlp
""".split()


def value(config: Config, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def folder_with(tmp_path: Path, line: str) -> Path:
    return djl_folder(tmp_path / "llama", line, "config.json")


def warned(tmp_path: Path, line: str) -> list[str]:
    loaded = started(folder_with(tmp_path, line))
    return [*loaded.unheeded, *options.warnings(loaded.config.lora)]


@pytest.mark.parametrize("line", HONOURED)
def test_a_key_sets_what_it_means(line: str, tmp_path: Path) -> None:
    loaded = started(folder_with(tmp_path, line))

    key, expected = HONOURED[line]
    assert value(loaded.config, key) == expected
    assert not loaded.unheeded


@pytest.mark.parametrize("line", HONOURED)
def test_a_variable_sets_the_same(line: str) -> None:
    key, _, text = line.partition("=")
    prefix = "OPTION_" if key.startswith("option.") else "SERVING_"
    variable = prefix + key.removeprefix("option.").upper()

    loaded = started("org/name", {variable: text})

    assert value(loaded.config, HONOURED[line][0]) == HONOURED[line][1]
    assert not loaded.unheeded


@pytest.mark.parametrize("line", SILENT)
def test_what_happens_anyway_needs_no_warning(line: str, tmp_path: Path) -> None:
    assert not warned(tmp_path, line)


@pytest.mark.parametrize("line", WARNED)
def test_what_changes_no_answer_is_warned_about_by_name_and_not_by_value(
    line: str, tmp_path: Path
) -> None:
    key, _, text = line.partition("=")

    (said,) = warned(tmp_path, line)

    assert key.removeprefix("option.") in said
    assert "\n" not in said
    assert len(text) < 3 or text not in said


@pytest.mark.parametrize("line", ENDS)
def test_what_would_change_answers_ends_the_start(line: str, tmp_path: Path) -> None:
    said = refusal(folder_with(tmp_path, f"# first\n{line}"))

    assert line.partition("=")[0].removeprefix("option.") in said


@pytest.mark.parametrize(
    "key", [key for key, rule in KEYS.items() if isinstance(rule, Refused)]
)
def test_whatever_ends_the_start_is_named_with_its_line(
    key: str, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, f"# first\n{key}=odd")

    assert f"{folder / 'serving.properties'} line 2: {key}=odd: " in refusal(folder)


def test_all_that_is_without_effect_is_told_together_a_reason_once(
    tmp_path: Path,
) -> None:
    keys = [key for key, rule in KEYS.items() if isinstance(rule, Inert)]
    lines = [f"{key}=odd" for key in keys]

    said = started(folder_with(tmp_path, "\n".join(lines))).unheeded

    assert len(said) < len(keys) / 2
    for key in keys:
        assert any(key in line.partition(":")[0].split(", ") for line in said)


def test_two_keys_that_say_two_things_of_one_setting_end_the_start(
    tmp_path: Path,
) -> None:
    both = "option.max_num_seqs=8\noption.max_rolling_batch_size="
    folder = folder_with(tmp_path, both + "9")

    said = refusal(folder)

    assert "option.max_num_seqs=8" in said
    assert "option.max_rolling_batch_size=9" in said
    assert started(folder_with(tmp_path, both + "8")).config.schedule.max_batch == 8


def test_a_value_that_could_forge_a_line_of_the_log_does_not(tmp_path: Path) -> None:
    said = refusal(folder_with(tmp_path, "option.max_loras=x\\nhotswap: all is well"))
    (noted,) = started(folder_with(tmp_path, "a\\nb=1")).unheeded

    assert "x\\nhotswap" in said
    assert "\n" not in noted
