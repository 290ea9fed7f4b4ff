"""Keys without effect: those of DJL Serving's, vLLM's among them, that set nothing
here. Some ask for answers that would be others: they end the start.
"""

from collections.abc import Mapping

from hotswap.djl_config.rules import Rule, inert, refused

_ONE_PROCESS = inert("one process serves the model", "1 -1")
_ONE_DEVICE = inert("one device serves the model, and answers are the same", "1 -1")
_EVERY_STEP = inert("jobs join and leave the running batch at every step", "1")
_MEMORY = inert("[memory] of the TOML file says what may be taken")
_NO_DEADLINE = inert("a start takes as long as it takes, and so does an answer")
_FASTER = inert("it makes answers faster, not others")
_JAVA = refused("there is no Java here: put it into model.py")
_QUANTISED = refused("weights run as they are stored: quantised ones answer otherwise")
_TEMPLATE = refused("put it into the model's folder as chat_template.jinja")
_OTHER_MODEL = refused("change the model's own files instead: answers would be others")
_ROPE = refused("put it into the model's config.json: answers would be others")
_SESSIONS = inert("there are no sessions", "false")
_LOGS = inert("[log] and /metrics say what there is to see", "false")

_ENGINE: Mapping[str, Rule] = {
    "engine": refused(
        "only models of DJL's Python engine are served", "python mpi deepspeed"
    ),
    "option.task": refused(
        "only text is generated", "auto generate text-generation none"
    ),
    "option.rolling_batch": inert(
        "jobs join and leave the running batch at every step",
        "auto vllm lmi-dist scheduler trtllm",
    ),
    "option.mpi_mode": inert("one process serves the model", "false"),
    "option.async_mode": inert("every request is answered while others run", "true"),
    "option.backend": inert("there is one"),
    "option.runner": refused("only text is generated", "auto generate"),
    "option.convert": refused("only text is generated", "auto none"),
    "option.model_impl": inert("the model is transformers'", "auto transformers"),
    "option.modelName": inert("a file's name in other engines"),
    "option.env": inert("set the variables where the server is started"),
    "option.handler": refused("DJL's `handle` is what is called", "handle"),
    "option.pythonExecutable": inert("it runs in this Python", "python python3"),
    "option.enable_venv": inert("it runs in this Python", "false"),
    "option.trust_remote_code": inert(
        "no code of a model's folder is run but model.py; a model that needs its own "
        "is refused",
        "false",
    ),
    "translator": _JAVA,
    "translatorFactory": _JAVA,
    "application": inert("a word for DJL's model zoo"),
}

_WORKERS: Mapping[str, Rule] = {
    **{
        f"{device}{bound}": _ONE_PROCESS
        for bound in ("minWorkers", "maxWorkers")
        for device in ("", "gpu.", "cpu.")
    },
    "max_idle_time": _ONE_PROCESS,
    "retry_threshold": inert("a failed step fails its jobs, and the server goes on"),
    "batch_size": _EVERY_STEP,
    "max_dynamic_batch_size": _EVERY_STEP,
    "option.batch_size": _EVERY_STEP,
    "max_batch_delay": inert("nobody waits for a batch to fill"),
    "option.waiting_steps": inert("nobody waits for a batch to fill"),
    "required_memory_mb": _MEMORY,
    "reserved_memory_mb": _MEMORY,
    "gpu.required_memory_mb": _MEMORY,
    "gpu.reserved_memory_mb": _MEMORY,
    "log_request_metric": _LOGS,
    "metrics_aggregation": _LOGS,
    "option.parallel_loading": _ONE_PROCESS,
    "option.model_loading_timeout": _NO_DEADLINE,
    "option.predict_timeout": _NO_DEADLINE,
    "option.max_output_size": inert("an answer ends at its max_new_tokens"),
}

_VLLM: Mapping[str, Rule] = {
    "option.tensor_parallel_degree": _ONE_DEVICE,
    "option.tensor_parallel_size": _ONE_DEVICE,
    "option.pipeline_parallel_degree": _ONE_DEVICE,
    "option.pipeline_parallel_size": _ONE_DEVICE,
    "option.data_parallel_size": _ONE_DEVICE,
    "option.cluster_size": _ONE_DEVICE,
    "option.device_map": _ONE_DEVICE,
    "option.use_custom_all_reduce": _ONE_DEVICE,
    "option.disable_custom_all_reduce": _ONE_DEVICE,
    "option.distributed_executor_backend": _ONE_DEVICE,
    "option.gpu_memory_utilization": _MEMORY,
    "option.kv_cache_free_gpu_mem_fraction": _MEMORY,
    "option.swap_space": _MEMORY,
    "option.cpu_offload_gb": _MEMORY,
    "option.cpu_offload_gb_per_gpu": _MEMORY,
    "option.low_cpu_mem_usage": _MEMORY,
    "option.block_size": _MEMORY,
    "option.num_gpu_blocks_override": _MEMORY,
    "option.enforce_eager": _FASTER,
    "option.max_seq_len_to_capture": _FASTER,
    "option.compilation_config": _FASTER,
    "option.enable_chunked_prefill": inert("prompts are always chunked", "true"),
    "option.disable_flash_attn": _FASTER,
    "option.disable_sliding_window": refused("the model's own attention runs", "false"),
    "option.load_format": inert("only safetensors are read", "auto safetensors"),
    "option.disable_log_stats": _LOGS,
    "option.disable_log_requests": _LOGS,
    "option.max_logprobs": inert("the API's own limit holds"),
    "option.seed": inert("a request says its own `seed`"),
    "option.enable_auto_tool_choice": inert("tools are chosen from freely", "true"),
    "option.enable_reasoning": inert("option.reasoning_parser alone says it"),
    "option.limit_mm_per_prompt": inert("the model has no modality but text"),
    "option.chat_template_content_format": inert("the template is asked itself"),
    "option.speculative_draft_model": _FASTER,
    "option.speculative_length": _FASTER,
    "option.speculative_config": _FASTER,
    "option.speculative_model": _FASTER,
    "option.draft_model_id": _FASTER,
    "option.draft_model_tp_size": _FASTER,
    "option.num_speculative_tokens": _FASTER,
    "option.spec_length": _FASTER,
    "option.lmcache_auto_config": _FASTER,
    "option.kv_transfer_config": _FASTER,
    "option.enable_stateful_sessions": _SESSIONS,
}

_OTHER_ANSWERS: Mapping[str, Rule] = {
    "option.quantize": _QUANTISED,
    "option.quantization": _QUANTISED,
    "option.load_in_8bit": refused(_QUANTISED.reason, "false"),
    "option.load_in_4bit": refused(_QUANTISED.reason, "false"),
    "option.kv_cache_dtype": refused("keys and values keep the model's type", "auto"),
    "option.logits_dtype": refused("logits keep the model's type", "auto float32"),
    "option.chat_template": _TEMPLATE,
    "option.tokenizer": refused("put the tokenizer into the model's folder"),
    "option.tokenizer_mode": refused("the model's own tokenizer runs", "auto"),
    "option.tokenizer_revision": refused("put the tokenizer into the model's folder"),
    "option.hf_overrides": _OTHER_MODEL,
    "option.hf_config_path": _OTHER_MODEL,
    "option.rope_scaling": _ROPE,
    "option.rope_theta": _ROPE,
    "option.generation_config": refused("requests say how to sample", "vllm"),
    "option.override_generation_config": refused("requests say how to sample"),
    "option.stop_sequence": refused("requests say `stop_sequences`"),
    "option.output_formatter": refused("requests say `stream`", "json auto"),
    "option.input_formatter": refused("put it into model.py"),
    "option.enable_streaming": refused("requests say `stream`", "false"),
    "option.tgi_compat": refused("ask /generate for TGI's answers", "false"),
    "option.bedrock_compat": refused("there are no answers in its form", "false"),
}

WITHOUT_EFFECT: Mapping[str, Rule] = {**_ENGINE, **_WORKERS, **_VLLM, **_OTHER_ANSWERS}

_CODES = inert("status codes are those of docs/api.md")
_JVM = inert("there is no Java here")

# Of the server, not of a model: SERVING_NAME of the environment alone, or the variable
# that is named.
SERVER_WITHOUT_EFFECT: Mapping[str, Rule] = {
    "management_address": refused(
        "one address serves all: let it be the inference_address"
    ),
    "SAGEMAKER_MULTI_MODEL": refused("one server serves one model", "false"),
    "SAGEMAKER_SECURE_MODE": refused("there is no such mode", "false"),
    "keystore": refused("name PEM files: SERVING_CERTIFICATE_FILE, _PRIVATE_KEY_FILE"),
    "keystore_pass": _JVM,
    "keystore_type": _JVM,
    "cluster_address": _ONE_DEVICE,
    "opts": _JVM,
    "number_of_netty_threads": _JVM,
    "plugin_folder": _JVM,
    "features": inert("what a container of DJL's holds", "vllm trtllm"),
    "download_dir": inert("[adapters] says where what is fetched is kept"),
    "wait_model_loading": inert("requests are taken when the model is there", "true"),
    "allow_multi_status": inert("there is one model", "false"),
    "model_url_pattern": inert("no model is loaded over HTTP"),
    "cors_allowed_methods": inert("those that there are"),
    "cors_allowed_headers": inert("those that there are"),
    "chunked_read_timeout": inert("[limits] says how long a body may take"),
    "error_rate_wlm": _CODES,
    "error_rate_server": _CODES,
    "error_rate_model": _CODES,
    "error_rate_any": _CODES,
    "bad_request_http_code": _CODES,
    "wlm_error_http_code": _CODES,
    "throttle_error_http_code": _CODES,
    "timeout_http_code": _CODES,
    "server_error_http_code": _CODES,
    "request_id_header_key": inert("the header is x-request-id"),
    "min_workers": _ONE_PROCESS,
    "max_workers": _ONE_PROCESS,
    "fail_fast": inert("a thread that ends by a bug ends the server", "true"),
    "health_check_override": inert("/ping says how it is", "false"),
}
