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
    # A file of keys that may ask for inference, made by `hotswap key new`; it is read
    # again when it changes. HOTSWAP_API_KEYS of the environment has others.
    api_keys: str = ""
    # The same of keys that may ask for everything, made by `hotswap key new --admin`;
    # HOTSWAP_ADMIN_KEYS.
    admin_keys: str = ""
    # Start without an admin key although others can reach the address.
    allow_anyone: bool = False
    # Where there are keys: /metrics takes none, instead of an admin key.
    metrics_need_no_key: bool = False
    # A PEM file with the certificate and its chain, for HTTPS instead of HTTP.
    tls_cert: str = ""
    # A PEM file with the certificate's key, without a password.
    tls_key: str = ""
