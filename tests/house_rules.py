"""The rules of the house: which floor a module lives on, and who may import what."""

# Floors from the ground up: a module imports its own floor's package or lower ones.
FLOORS = [
    {
        "scheduler",
        "hotswap.errors",
        "hotswap.short_thread",
        "hotswap.error_boundary",
        "hotswap.cache",
        "hotswap.port",
        "hotswap.descriptors",
        "hotswap.tls",
        "hotswap.keys",
        "hotswap.template_options",
        "hotswap.templates",
        "hotswap.template_child",  # a script of its own: imports nothing of ours
        "hotswap.token_bytes",
        "hotswap.tokenizer",
        "hotswap.tokenizer_queries",
        "hotswap.sampling_params",
        "hotswap.sampling_ranges",
        "hotswap.grammar",
        "hotswap.llguidance_grammar",
        "hotswap.parser_names",
    },
    {"hotswap.adapters"},
    {"hotswap.sources"},
    {"hotswap.model.machine"},
    {"hotswap.model.weights"},
    {"hotswap.model.network"},
    {"hotswap.model.eager"},
    {"hotswap.model.gpu"},
    {"hotswap.model.vllm"},
    {"hotswap.model"},
    {"hotswap.engine"},
    {"hotswap.handler"},
    {"hotswap.library"},
    {"hotswap.sharing"},
    {"hotswap.api.shared"},
    {"hotswap.api.openai"},
    {"hotswap.api.responses"},
    {"hotswap.api.tgi"},
    {"hotswap.api.djl"},
    {"hotswap.api.admin", "hotswap.api.tokenization", "hotswap.api.vllm"},
    {"hotswap.api.openapi"},
    {"hotswap.api"},
    {"hotswap.echo.vocabulary", "hotswap.echo.executor", "hotswap.echo.folder"},
    {
        "hotswap.options",
        "hotswap.server_options",
        "hotswap.adapter_options",
        "hotswap.limit_options",
        "hotswap.log_options",
        "hotswap.deploy_options",
    },
    {"hotswap.logs"},
    {"hotswap.djl_config"},
    {"hotswap.config"},
    {"hotswap.start"},
    {"hotswap.adapter_watch", "hotswap.app_choice"},
    {"hotswap.assembly"},
    {"hotswap.served_model"},
    {"hotswap.app", "hotswap.echo.app", "hotswap.vllm_app"},
    {"hotswap.ray"},  # loads one of those by name
    {"hotswap.connections"},
    {"hotswap.banner"},
    {"hotswap.serve", "hotswap.check", "hotswap.key_command"},
    # Imports no floor with torch in it: it loads the two by name, when all that can be
    # checked without them is checked.
    {"hotswap.commands"},
    {"hotswap.cli"},
    {"hotswap.config_docs", "hotswap.properties_docs"},
    {"hotswap.demo"},
]
ONLY = {
    "litestar": {
        "hotswap.app",
        "hotswap.assembly",
        "hotswap.echo.app",
        "hotswap.vllm_app",
        "hotswap.serve",  # the type of what it serves
        "hotswap.api",
        "hotswap.connections",  # the type of what it serves
        "hotswap.ray.replica",  # the same
        "hotswap.ray.front",  # errors in their shape
    },
    "ray": {"hotswap.ray"},
    "starlette": {"hotswap.ray.proxy"},  # how Ray is told of it
    "uvicorn": {"hotswap.serve", "hotswap.connections"},
    "watchdog": {"hotswap.library.folder_events"},
    "peft": {
        "hotswap.adapters.checkpoint",
        "hotswap.adapters.bounds",  # the type of a configuration
        "hotswap.adapters.limits",  # the same
        "hotswap.adapters.settings",
        "hotswap.adapters.peft_config",
        "hotswap.adapters.low_rank",
        "hotswap.adapters.rewrites",
        "hotswap.adapters.vocabulary",
        "hotswap.adapters.tuners",
        "hotswap.adapters.updates",
        "hotswap.demo",
    },
    "torch": {
        "hotswap.model",
        "hotswap.adapters.bounds",  # to see what PEFT makes
        "hotswap.adapters.checkpoint",
        "hotswap.adapters.keys",  # the type of a tensor
        "hotswap.adapters.tensors",
        "hotswap.adapters.factors",
        "hotswap.adapters.layout",
        "hotswap.adapters.low_rank",
        "hotswap.adapters.rewrites",
        "hotswap.adapters.vocabulary",
        "hotswap.adapters.tuners",
        "hotswap.adapters.updates",
        "hotswap.adapters.fidelity",
        "hotswap.adapters.weighted_sum",
        "hotswap.demo",
    },
    "transformers": {
        "hotswap.model",
        "hotswap.adapters.layout",  # the types of a model and of Conv1D
        "hotswap.adapters.low_rank",  # the same
        "hotswap.adapters.rewrites",  # the same
        "hotswap.adapters.tuners",  # the type of a model
        "hotswap.adapters.vocabulary",  # the same
        "hotswap.adapters.adapter_tokenizer",
        "hotswap.demo",
    },
    "huggingface_hub": {"hotswap.model.hub", "hotswap.sources.hub_repository"},
    "httpx2": {"hotswap.sources.http_stream", "hotswap.sources.archive_url"},
    "fsspec": {"hotswap.sources.s3_bucket"},
    "botocore": {"hotswap.sources.s3_bucket"},
    "prometheus_client": set(),  # its parsers are the oracle of the tests
    "opentelemetry": {"hotswap.logs.traces"},
    "swagger_ui_bundle": {"hotswap.api.openapi.page"},
    "llguidance": {"hotswap.llguidance_grammar"},
    "triton": {"hotswap.model.gpu.kernels"},
    "vllm": {"hotswap.model.vllm"},
    "hotswap.config": {
        "hotswap.start",
        "hotswap.adapter_watch",
        "hotswap.app_choice",
        "hotswap.app",
        "hotswap.assembly",
        "hotswap.echo.app",
        "hotswap.served_model",
        "hotswap.vllm_app",
        "hotswap.banner",
        "hotswap.serve",
        "hotswap.check",
        "hotswap.commands",
        "hotswap.config_docs",
        "hotswap.ray",
    },
    "hotswap.limit_options": {
        "hotswap.config",
        "hotswap.assembly",
        "hotswap.connections",
    },
    "hotswap.options": {
        "hotswap.config",
        "hotswap.adapter_options",
        "hotswap.djl_config.keys_that_act",  # the names of its keys
        "hotswap.properties_docs",
        "hotswap.limit_options",
        "hotswap.start",
        "hotswap.connections",
        "hotswap.log_options",
        "hotswap.deploy_options",
        "hotswap.config_docs",
        "hotswap.ray",
        "hotswap.app",
        "hotswap.assembly",
        "hotswap.echo.app",
        "hotswap.served_model",
        "hotswap.vllm_app",
        "hotswap.check",
        "hotswap.commands",
    },
    "hotswap.api.shared.schemas": {"hotswap.api"},
    "time": {
        "hotswap.engine.engine",  # the clock
        "hotswap.short_thread",  # how long the disk has not answered
        "hotswap.handler.runner",  # deadlines
        "hotswap.library.watch",
        "hotswap.model",
        "hotswap.api.openai.shape",  # `created`, a date
        "hotswap.api.responses.response_shape",  # `created_at`, the same
        "hotswap.assembly",  # the same
        "hotswap.logs.traces",  # when a span ended
        "hotswap.logs.text_format",  # a date
        "hotswap.logs.json_format",  # the same
        "hotswap.commands.serve_command",  # how long the start took
        "hotswap.serve",  # the same
        "hotswap.api.metrics.router_families",  # the timestamp of a list
        "hotswap.library.timed_read",
        "hotswap.sources.download",  # how slowly bytes come
        "hotswap.sources.fetcher",  # how long it took
        "hotswap.templates",  # deadlines
        "hotswap.template_child",  # the CPU time that is left
        "hotswap.ray.router",  # when it sent a request
        "hotswap.ray.replica",  # when a report was true
    },
    "random": {"hotswap.model.network.sampler", "hotswap.demo"},
}
