"""Key table: every key of DJL Serving's that is known here, and what becomes of it.

`docs/serving-properties.md` has it as a table, made from this one.
"""

from collections.abc import Mapping

from hotswap.djl_config.keys_that_act import SERVER, THAT_ACT
from hotswap.djl_config.keys_without_effect import SERVER_WITHOUT_EFFECT, WITHOUT_EFFECT
from hotswap.djl_config.rules import Rule, Sets

OPTION = "option."

# Of a model: in serving.properties, or OPTION_NAME, or SERVING_NAME without "option."
KEYS: Mapping[str, Rule] = {**THAT_ACT, **WITHOUT_EFFECT}
# Of the server: SERVING_NAME alone, or the variable that is named
SERVER_KEYS: Mapping[str, Rule] = {**SERVER, **SERVER_WITHOUT_EFFECT}


def variable_of(key: str) -> str:
    """The variable of the environment that says the same as a key."""
    if key.isupper():
        return key
    if key in SERVER_KEYS or not key.startswith(OPTION):
        return f"SERVING_{key.upper()}"
    return f"OPTION_{key.removeprefix(OPTION).upper()}"


def variables() -> dict[tuple[str, str], str]:
    """The variable that sets each key of the configuration, by section and key; of
    several the first of the table."""
    found = {("adapters", "directory"): variable_of("option.adapters")}
    for key, rule in {**KEYS, **SERVER_KEYS}.items():
        if isinstance(rule, Sets):
            for each in rule.keys:
                section, _, name = each.partition(".")
                found.setdefault((section, name), variable_of(key))
    return found
