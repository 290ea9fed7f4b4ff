"""HTTP errors: what only a request over HTTP can be at fault of, before anybody has
looked into its body. Part of the errors' tree.

ClientError
├── NotJson                  a body that does not say that it is JSON
├── EncodedBody              a body that would have to be unpacked
├── CrossSite                a web page of a place that is not allowed asks
├── BodyTooLarge             the body has too many bytes
├── NoKey                    no key, or none of this server's
├── KeyForbids               the key may not ask for this
├── KeyTooOften              the key has asked too often
├── KeyInQuery               a key in the URL, where logs and histories keep it
├── BodyTooSlow              the body did not come in time
└── ClientGone               the client has left; nobody reads this
"""

from hotswap.errors import ClientError


class NotJson(ClientError):
    def __init__(self, said: str) -> None:
        super().__init__(
            f"the body's content type is `{said}`: send `application/json`",
            "Content-Type",
        )


class EncodedBody(ClientError):
    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"the encoding `{encoding}` of the body is not supported: send it plain",
            "Content-Encoding",
        )


class CrossSite(ClientError):
    pass


class BodyTooLarge(ClientError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"the body has more than {limit} bytes (`limits.body_bytes`)")


class NoKey(ClientError):
    """`challenge`: the header WWW-Authenticate, as RFC 6750 has it."""

    def __init__(self, message: str, *, is_wrong: bool) -> None:
        """`is_wrong`: the request shows something."""
        super().__init__(message, "Authorization")
        why = ', error="invalid_token"' if is_wrong else ""
        self.challenge = f'Bearer realm="hotswap"{why}'


class KeyForbids(ClientError):
    challenge = 'Bearer realm="hotswap", error="insufficient_scope"'

    def __init__(self, message: str) -> None:
        super().__init__(message, "Authorization")


class KeyTooOften(ClientError):
    def __init__(self, per_minute: int, wait_s: float) -> None:
        super().__init__(
            f"the key may ask {per_minute} times a minute: ask again in {wait_s:.1f} s"
        )
        self.retry_after_s = wait_s


class KeyInQuery(ClientError):
    def __init__(self, name: str, how: str) -> None:
        super().__init__(
            "a key in the query is refused, because logs and histories keep it: "
            f"take another key from now on, and {how}",
            name,
        )


class BodyTooSlow(ClientError):
    def __init__(self, limit_s: float) -> None:
        super().__init__(
            f"the body did not come within {limit_s:g} s (`limits.body_s`)"
        )


class ClientGone(ClientError):
    def __init__(self) -> None:
        super().__init__("the client has left")
