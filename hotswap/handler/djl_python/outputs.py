"""Output: what a handler's function returns, with the methods of DJL's.

What goes out is its "data", or else what comes first; `code` is HTTP's, properties are
headers. `message` is the `status` text of a change of an adapter, and HTTP's reason in
DJL, which this server does not send.
"""

import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from hotswap.handler.djl_python.pair_list import PairList

JSON, TEXT, BYTES = (
    "application/json",
    "text/plain; charset=utf-8",
    "application/octet-stream",
)


class Encoded(bytes):
    """What DJL's asynchronous handlers add: `said` has `data`, `last`, perhaps `error`
    and `code`."""

    said: Mapping[str, Any]


class Output:
    def __init__(self, code: int = 200, message: str = "OK") -> None:
        self.code = code
        self.message = message
        self.properties: dict[str, Any] = {}
        self.content = PairList()
        self.stream_content: Iterator[Any] | None = None
        self.stream_output_formatter: Callable[[Any], Any] | None = None
        self.finalize_function: Callable[..., Any] | None = None
        self.finalize_args: tuple[Any, ...] = ()
        self.media_type = BYTES  # if no property says it

    def __str__(self) -> str:
        keys = [str(key) for key in self.content.get_keys()]
        said = {"code": self.code, "message": self.message, "content": keys}
        return json.dumps(said | {"properties": self.properties}, default=str)

    def set_code(self, code: int) -> Self:
        self.code = code
        return self

    def set_message(self, message: str) -> Self:
        self.message = message
        return self

    def error(
        self, error: str, code: int = 424, message: str = "invoke handler failure"
    ) -> Self:
        self.code, self.message = code, message
        self.add_property("content-type", JSON)
        return self.add_as_json({"code": code, "message": message, "error": error})

    def add_property(self, key: str, val: Any) -> Self:
        self.properties[key] = val
        return self

    def get_properties(self) -> dict[str, Any]:
        return self.properties

    def get_property(self, key: str) -> Any:
        return self.properties.get(key)

    def add(
        self, value: Any, key: str | None = None, batch_index: int | None = None
    ) -> Self:
        """Text and bytes as they are, anything else as JSON."""
        if key is not None:
            key = str(key)
        if batch_index is not None:
            key = f"batch_{batch_index}.{key or ''}"
        media_type, raw = BYTES, value
        if isinstance(value, str):
            media_type, raw = TEXT, value.encode("utf-8")
        elif not isinstance(value, bytes | bytearray):
            media_type, raw = JSON, _as_json(value)
        if self.content.is_empty() or key == "data":
            self.media_type = media_type
        self.content.add(key=key, value=raw)
        return self

    def add_as_json(
        self, val: Any, key: str | None = None, batch_index: int | None = None
    ) -> Self:
        self.add(_as_json(val), key=key, batch_index=batch_index)
        if self.content.size() == 1 or key == "data":
            self.media_type = JSON
        return self

    def add_stream_content(
        self,
        stream_content: Iterator[Any],
        output_formatter: Callable[[Any], Any] | None = lambda texts: (
            json.dumps({"outputs": texts}) + "\n"
        ),
    ) -> Self:
        """An iterator whose items go out one by one, as the formatter writes them."""
        self.stream_content = stream_content
        self.stream_output_formatter = output_formatter
        return self

    def finalize(self, finalize_function: Callable[..., Any], *args: Any) -> Self:
        """Called with `args` when all is sent."""
        self.finalize_function, self.finalize_args = finalize_function, args
        return self

    def execute_finalize(self) -> Any:
        if self.finalize_function is not None:
            return self.finalize_function(*self.finalize_args)
        return None

    @staticmethod
    def binary_encode(data: Mapping[str, Any]) -> Encoded:
        encoded = Encoded(_as_json(data))
        encoded.said = dict(data)
        return encoded


def _as_json(value: Any) -> bytes:
    """As DJL writes it: indented by two."""
    text = json.dumps(
        value,
        ensure_ascii=False,
        allow_nan=False,
        indent=2,
        separators=(",", ":"),
        default=_plain,
    )
    return text.encode("utf-8")


def _plain(value: Any) -> Any:
    """Dates, and what numpy has for numbers and lists, in what JSON knows."""
    if isinstance(value, datetime.datetime):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")
