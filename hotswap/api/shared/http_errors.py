"""HTTP errors: what only a request over HTTP can be at fault of, before anybody has
looked into its body. Part of the errors' tree.

ClientError
├── NotJson                  a body that does not say that it is JSON
├── EncodedBody              a body that would have to be unpacked
├── CrossSite                a web page of a place that is not allowed asks
├── BodyTooLarge             the body has too many bytes
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


class BodyTooSlow(ClientError):
    def __init__(self, limit_s: float) -> None:
        super().__init__(
            f"the body did not come within {limit_s:g} s (`limits.body_s`)"
        )


class ClientGone(ClientError):
    def __init__(self) -> None:
        super().__init__("the client has left")
