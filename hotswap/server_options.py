"""Server options: the section [server] of the configuration, how it is reached."""

from typing import Annotated

from msgspec import Meta, Struct

ModelName = Annotated[str, Meta(min_length=1, max_length=256)]


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # The address to listen on, or a name of it.
    host: str = "127.0.0.1"
    # The port to listen on; 0 is any that is free.
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    # After SIGTERM: how long accepted jobs may take to finish.
    drain_s: Annotated[float, Meta(ge=0, le=1e6)] = 30.0
    # Show where files lie, in answers; else folders are named without their path.
    show_paths: bool = False
    # What the base model is called, in place of its own name; answers say the first.
    served_model_names: tuple[ModelName, ...] = ()
    # Names of this server that the Host of a managing request may have, besides IP
    # addresses and those that nobody can register (no dot, .localhost, .local,
    # .internal).
    hosts: tuple[str, ...] = ()
    # Pages that may call it from a browser, as https://example.com; "*" is any.
    cors_origins: tuple[str, ...] = ()
