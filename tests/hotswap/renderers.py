"""What tests of strangers' templates render, and with what."""

from typing import Any

from hotswap.templates import Renderer

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be kind. <&>"},
    {"role": "user", "content": "h\u00e9llo \U0001f642\n"},
    {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "args": {}}]},
    {"role": "tool", "content": "42", "name": "f"},
    {"role": "assistant", "content": "ok", "reasoning": "hm"},
]
ENDLESS = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 9 ** (9 ** 9) }}",
]
PLAIN = "{{ messages[0].content }}"


def brief() -> Renderer:
    """With a deadline that a test can wait for."""
    return Renderer(deadline_s=0.5)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
