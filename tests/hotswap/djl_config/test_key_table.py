"""Each key of DJL's has one rule, and the page says what the rules say."""

import msgspec
import pytest

from hotswap import properties_docs
from hotswap.config import Config
from hotswap.djl_config import keys_that_act, keys_without_effect
from hotswap.djl_config.key_table import KEYS, SERVER_KEYS, variable_of, variables
from hotswap.djl_config.rules import Inert, Refused, Sets
from hotswap.djl_config.variables import OTHERS
from tests.pages import ROOT

# What DJL documents for LLMs: configurations_model.md, configurations_global.md,
# lmi/deployment_guide/configurations.md, lmi/user_guides/vllm_user_guide.md and
# adapters.md, without what is of other engines alone.
DOCUMENTED = """
engine load_on_devices translatorFactory job_queue_size batch_size max_batch_delay
max_idle_time log_request_metric metrics_aggregation minWorkers maxWorkers
gpu.minWorkers gpu.maxWorkers cpu.minWorkers cpu.maxWorkers required_memory_mb
gpu.required_memory_mb reserved_memory_mb gpu.reserved_memory_mb retry_threshold
option.pythonExecutable option.entryPoint option.handler option.predict_timeout
option.model_loading_timeout option.parallel_loading option.tensor_parallel_degree
option.enable_venv option.rolling_batch option.max_rolling_batch_size
option.max_output_size option.async_mode option.model_id option.trust_remote_code
option.revision option.dtype option.output_formatter option.quantize
option.quantization option.max_rolling_batch_prefill_tokens
option.max_num_batched_tokens option.cpu_offload_gb_per_gpu option.cpu_offload_gb
option.enable_prefix_caching option.tokenizer_mode option.speculative_config
option.speculative_draft_model option.gpu_memory_utilization option.max_model_len
option.limit_mm_per_prompt option.mpi_mode option.task option.enable_streaming
option.tgi_compat option.enable_lora option.max_loras option.max_lora_rank
option.max_cpu_loras option.fully_sharded_loras option.lora_extra_vocab_size
option.long_lora_scaling_factors option.lora_dtype option.load_format
option.low_cpu_mem_usage option.enforce_eager
""".split()
# ConfigManager.java, with what else DJL reads of SERVING_...
OF_SERVER = """
inference_address management_address cluster_address load_models wait_model_loading
allow_multi_status number_of_netty_threads cors_allowed_origin cors_allowed_methods
cors_allowed_headers keystore keystore_pass keystore_type certificate_file
private_key_file max_request_size model_store model_url_pattern plugin_folder
chunked_read_timeout error_rate_wlm error_rate_server error_rate_model error_rate_any
bad_request_http_code wlm_error_http_code throttle_error_http_code timeout_http_code
server_error_http_code request_id_header_key min_workers max_workers retry_threshold
fail_fast health_check_override features download_dir opts
""".split()


@pytest.mark.parametrize(
    ("documented", "known"), [(DOCUMENTED, KEYS), (OF_SERVER, {**KEYS, **SERVER_KEYS})]
)
def test_every_key_that_djl_documents_has_a_rule(
    documented: list[str], known: dict[str, object]
) -> None:
    assert not set(documented) - known.keys()


def test_no_key_has_two_rules() -> None:
    parts = [
        keys_that_act.LOCATED,
        keys_that_act.MODEL,
        keys_that_act.LORA,
        keys_that_act.SCHEDULE,
        keys_without_effect.WITHOUT_EFFECT,
    ]

    assert sum(map(len, parts)) == len(KEYS)
    assert not keys_that_act.SERVER.keys() & keys_without_effect.SERVER_WITHOUT_EFFECT


def test_every_key_that_acts_sets_a_setting_that_is_there() -> None:
    settings = {
        f"{section}.{field.name}"
        for section in Config.__struct_fields__
        for field in msgspec.structs.fields(getattr(Config(), section))
    }

    for rule in {**KEYS, **SERVER_KEYS}.values():
        if isinstance(rule, Sets):
            assert set(rule.keys) <= settings


def test_every_lora_option_is_a_key() -> None:
    for name in type(Config().lora).__struct_fields__:
        assert f"option.{name}" in KEYS


def test_words_that_are_met_are_in_small_letters() -> None:
    for rule in {**KEYS, **SERVER_KEYS}.values():
        if isinstance(rule, Inert | Refused):
            assert all(word == word.lower() for word in rule.met)


def test_a_key_has_the_variable_that_djl_reads() -> None:
    assert variable_of("option.max_loras") == "OPTION_MAX_LORAS"
    assert variable_of("option.entryPoint") == "OPTION_ENTRYPOINT"
    assert variable_of("job_queue_size") == "SERVING_JOB_QUEUE_SIZE"
    assert variable_of("model_store") == "SERVING_MODEL_STORE"
    assert variable_of("HF_MODEL_ID") == "HF_MODEL_ID"
    assert variables()["lora", "max_loras"] == "OPTION_MAX_LORAS"
    assert variables()["server", "port"] == "SERVING_INFERENCE_ADDRESS"


def test_variables_by_other_names_stand_for_keys_that_are_there() -> None:
    assert set(OTHERS.values()) <= KEYS.keys()


def test_the_page_says_what_the_table_says() -> None:
    written = (ROOT / properties_docs.PAGE).read_text()

    assert written == properties_docs.page(written), (
        "run: python -m hotswap.properties_docs"
    )
    for key in KEYS:
        assert f"`{key}`" in written
    for key in SERVER_KEYS:
        assert f"`{variable_of(key)}`" in written
