"""ServeFlags: what sets a key of the configuration on the command line of `serve`."""

from hotswap.commands.flag import Flag

MODEL = (
    "folder (of DJL Serving, too), .gguf file, hub id or URL (s3://, hf://, "
    "https://...tar.gz); echo: no model, it says what it is told"
)

FLAGS = {
    "model.path": Flag("MODEL", MODEL, {"nargs": "?"}),
    "model.dtype": Flag(
        "--dtype DTYPE", "auto (the fastest), float32, bfloat16 or float16"
    ),
    "model.device": Flag("--device DEVICE", "auto, cpu or cuda"),
    "model.executor": Flag(
        "--executor NAME", "auto (our own), or vllm: vLLM computes, merged only"
    ),
    "model.tensor_parallel": Flag(
        "--tensor-parallel N", "devices to cut each layer over, by vLLM", {"type": int}
    ),
    "model.tool_parser": Flag(
        "--tool-call-parser NAME", "in what form the model writes calls of tools"
    ),
    "model.reasoning_parser": Flag(
        "--reasoning-parser NAME", "in what form the model writes its reasoning"
    ),
    "adapters.directory": Flag(
        "--adapters DIR", "the directory to watch, or its URL (s3://, hf://)"
    ),
    "server.port": Flag("--port PORT", "to listen on", {"type": int}),
    "server.host": Flag("--host HOST", "to listen on"),
    "server.api_keys": Flag("--api-keys FILE", "of keys that may ask for inference"),
    "server.admin_keys": Flag("--admin-keys FILE", "of keys that may do everything"),
    "server.allow_anyone": Flag(
        "--allow-anyone",
        "start without an admin key although others can reach HOST",
        {"action": "store_const", "const": True},
    ),
    "server.tls_cert": Flag("--tls-cert FILE", "PEM, the chain too: serve HTTPS"),
    "server.tls_key": Flag("--tls-key FILE", "PEM, the certificate's"),
    "server.served_model_names": Flag(
        "--served-model-name NAME",
        "what the base model is called, in place of its own name; the first is what "
        "answers say",
        {"nargs": "+", "action": "extend"},
    ),
    "hooks.handler": Flag(
        "--handler FILE", "a model.py in DJL's form, whose `handle` answers requests"
    ),
    "log.format": Flag(
        "--log-format FORMAT", "text, json, or auto: json where this is no terminal"
    ),
    "log.level": Flag("--log-level LEVEL", "debug, info, warning or error"),
}
# By section, as --help shows them.
GROUPS = {
    "model": "the model",
    "adapters": "its adapters",
    "server": "how it is reached",
    "hooks": "your own code",
    "log": "what is written on standard error",
}
