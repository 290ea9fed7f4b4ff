"""Input: what a handler's function is told, with the methods of DJL's.

A request's headers are its properties; its query and its body are its content, the body
under "data". Values are bytearrays, as there.
"""

import csv
import io
import json
from typing import Any

from hotswap.handler.djl_python.pair_list import PairList

_BINARY = ("tensor/", "image/")  # DJL decodes them with numpy and Pillow


class Input:
    def __init__(self) -> None:
        self.function_name: str | None = None
        self.properties: dict[str, str] = {}
        self.content = PairList()

    def __str__(self) -> str:
        keys = ", ".join(str(key) for key in self.content.get_keys())
        return f"properties: {self.properties}\ncontent: {keys}"

    def is_batch(self) -> bool:
        """Never: the engine batches, and a handler is called with one request."""
        return False

    def get_batch_size(self) -> int:
        return 1

    def get_batches(self) -> list["Input"]:
        return [self]

    def get_function_name(self) -> str | None:
        return self.function_name

    def get_properties(self) -> dict[str, str]:
        return self.properties

    def get_property(self, key: str) -> str | None:
        """In whatever case its name is written."""
        for name, value in self.properties.items():
            if name.lower() == key.lower():
                return value
        return None

    def get_content(self) -> PairList:
        return self.content

    def contains_key(self, key: str) -> bool:
        return self.content.get(key) is not None

    def is_empty(self) -> bool:
        """Whether it is the call at the start, or the request has no body."""
        return self.content.is_empty()

    def get_data(self, key: str | None = None) -> Any:
        """What the content type says it is. Raises ValueError for what is no text."""
        said = self.get_property("content-type") or ""
        if said.startswith("application/json"):
            return self.get_as_json(key)
        if said.startswith("text/"):
            return self.get_as_string(key)
        if said.startswith(_BINARY):
            raise ValueError(f"{said} is not decoded here: take get_as_bytes()")
        return self.get_as_bytes(key)

    def get_as_bytes(self, key: str | None = None) -> Any:
        """The content's `key`; without one its "data", or else what comes first. None
        if there is no content. Raises KeyError."""
        if self.content.is_empty():
            return None
        found = self.content.get(key or "data")
        if found is None and key:
            raise KeyError(f"the content has no {key}")
        return self.content.value_at(0) if found is None else found

    def get_as_string(self, key: str | None = None) -> str:
        return str(self.get_as_bytes(key).decode("utf-8"))

    def get_as_json(self, key: str | None = None) -> Any:
        return json.loads(self.get_as_string(key))

    def get_as_csv(self, key: str | None = None) -> list[dict[str, str]]:
        """A row for each line but the first, which has the names."""
        return list(csv.DictReader(io.StringIO(self.get_as_string(key))))
