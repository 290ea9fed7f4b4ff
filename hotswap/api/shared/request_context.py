"""Request context: what is known of the request that a task works on."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
key_name: ContextVar[str | None] = ContextVar("key_name", default=None)
