"""File names: what is looked at in an adapter's folder."""

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
# Of a tokenizer, and how many bytes each may have
TOKENIZER_FILES = {
    TOKENIZER_FILE: 1 << 27,
    TOKENIZER_CONFIG_FILE: 1 << 24,
    TEMPLATE_FILE: 1 << 20,
    "special_tokens_map.json": 1 << 24,
    "added_tokens.json": 1 << 24,
}
