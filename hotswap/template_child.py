"""Template child: a process of its own that renders strangers' chat templates.

Started by `hotswap.templates` as a script, on its own: it imports jinja2 and nothing of
ours. A template can make it slow, large or dead, and nothing else: it has no more
memory than a conversation takes, writes no file, and ends when its parent does. What it
renders is what transformers' `apply_chat_template` renders; a test compares them.

Frames are a length in four bytes, big-endian, and JSON.
"""

import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

_MOST_BYTES = 256 << 20  # of address space; Python itself takes some 40 MB
_MOST_CPU_S = 2  # of one rendering: if the parent dies while it lasts
_TAG = "CONTINUE_FINAL_MESSAGE_TAG "  # where the text of a final message ends
_REASONING = ("reasoning_content", "thinking", "reasoning")


class GenerationTag(Extension):
    """`{% generation %}` marks what the assistant says; nobody here asks for it."""

    tags = {"generation"}  # noqa: RUF012  (as jinja2 has it)

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_plain")
        return CallBlock(call, [], [], body).set_lineno(line)

    def _plain(self, caller: Callable[[], str]) -> str:
        return caller()


class SafeNamespace(Namespace):
    """A namespace that keeps no names of Python's own workings."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `self` is a name, too
        self, *rest = args
        names = dict(*rest, **kwargs)
        for name in names:
            _check(name)
        Namespace.__init__(self, names)

    def __setitem__(self, name: str, value: object) -> None:
        _check(name)
        super().__setitem__(name, value)


class Dict:
    """`dict` for templates, without the attributes of the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


@lru_cache(maxsize=64)
def compiled(source: str) -> Template:
    """An environment for each: no template can change another's."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _now
    environment.globals["dict"] = Dict()
    environment.globals["namespace"] = SafeNamespace
    return environment.from_string(source)


def render(request: dict[str, Any]) -> str:
    """`template`, `messages`, `tools`, `documents`, `add_generation_prompt`,
    `continue_final_message`, `names` and `most` characters -> text.

    Raises whatever the template does.
    """
    messages = [_aliased(message) for message in request["messages"]]
    final = _tagged(messages, request) if request["continue_final_message"] else None
    pieces, size = [], 0
    for piece in compiled(request["template"]).generate(
        messages=messages,
        tools=request["tools"],
        documents=request["documents"],
        add_generation_prompt=request["add_generation_prompt"],
        **request["names"],
    ):
        size += len(piece)
        if size > request["most"]:
            raise TemplateError(f"more than {request['most']} characters come out")
        pieces.append(piece)
    text = "".join(pieces)
    return text if final is None else _continued(text, final)


def _tagged(messages: list[dict[str, Any]], request: dict[str, Any]) -> str:
    """The final message's content, which ends in a tag from here on."""
    final = messages[-1].get("content") if messages else None
    if not isinstance(final, str):
        raise TemplateError("the final message has no content to continue")
    if "content" not in request["template"]:
        raise TemplateError("it has no place for a message's content")
    messages[-1]["content"] = final + _TAG
    return final


def _continued(text: str, final: str) -> str:
    """The text up to the tag. A template that trims a message takes the tag's last
    space as well, and with it what was before."""
    if final.strip() not in text or _TAG.strip() not in text:
        raise TemplateError("the final message, to be continued, does not come out")
    end = text.rindex(_TAG.strip())
    is_kept = text[end:].startswith(_TAG)
    return text[:end] if is_kept else text[:end].rstrip()


def answer(raw: bytes) -> bytes:
    """A frame's content for a frame's content; `error` is what the template raised."""
    used = int(time.process_time())
    _limit(resource.RLIMIT_CPU, used + _MOST_CPU_S, resource.RLIM_INFINITY)
    try:
        text = render(json.loads(raw))
        return json.dumps({"text": text}, ensure_ascii=False).encode()
    except TemplateError as error:
        said = str(error)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    return json.dumps({"error": said[:500].encode(errors="replace").decode()}).encode()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's; the parent ends us
    _limit(resource.RLIMIT_AS, _MOST_BYTES, _MOST_BYTES)
    _limit(resource.RLIMIT_FSIZE, 0, 0)
    _limit(resource.RLIMIT_CORE, 0, 0)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    said = b"{}"  # it is ready
    while True:
        target.write(len(said).to_bytes(4) + said)
        target.flush()
        head = source.read(4)
        if len(head) < 4:
            return
        said = answer(source.read(int.from_bytes(head)))


def _limit(what: int, soft: int, hard: int) -> None:
    """As low, or lower where it is lower already."""
    _, most = resource.getrlimit(what)
    if most != resource.RLIM_INFINITY:
        hard = most if hard == resource.RLIM_INFINITY else min(hard, most)
        soft = min(soft, most)
    resource.setrlimit(what, (soft, hard))


def _aliased(message: dict[str, Any]) -> dict[str, Any]:
    """With the reasoning under the names that templates read."""
    given = (message[key] for key in _REASONING if message.get(key) is not None)
    reasoning = next(given, None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def _check(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"no name of a namespace may begin with _: {name!r}")


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise(message: str) -> None:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


if __name__ == "__main__":
    main()
