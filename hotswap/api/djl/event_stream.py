"""Event stream: AWS' frames around an answer that comes in parts.

    4 bytes       4                  4                             4
    total length, length of headers, CRC-32 of both | ... | ... | CRC-32 of all before
                                                  headers, payload

Big-endian. A header is its name (a byte of length before it), a type (7: a string) and
its value (2 bytes of length). The definition is Smithy's "Amazon Event Stream
specification"; the names of events and their members are those of SageMaker's
`InvokeEndpointWithResponseStream`.
"""

from binascii import crc32
from collections.abc import Iterator, Mapping
from struct import pack

import msgspec

MEDIA_TYPE = "application/vnd.amazon.eventstream"
# Readers take at least 16 MiB; a whole answer in one part is easier to read.
MOST_PAYLOAD = 1 << 20
_STRING = 7


def payload_parts(content: bytes) -> Iterator[bytes]:
    """`content` as events PayloadPart, of at most MOST_PAYLOAD bytes each."""
    for start in range(0, len(content), MOST_PAYLOAD):
        headers = {
            ":message-type": "event",
            ":event-type": "PayloadPart",
            ":content-type": "application/octet-stream",
        }
        yield frame(headers, content[start : start + MOST_PAYLOAD])


def model_stream_error(message: str) -> bytes:
    """The exception ModelStreamError, which ends a stream."""
    headers = {
        ":message-type": "exception",
        ":exception-type": "ModelStreamError",
        ":content-type": "application/json",
    }
    body = {"Message": message, "ErrorCode": "StreamBroken"}
    return frame(headers, msgspec.json.encode(body))


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message. Names of at most 255 bytes, values of at most 65535."""
    written = b"".join(_header(name, value) for name, value in headers.items())
    lengths = pack("!II", 16 + len(written) + len(payload), len(written))
    message = lengths + pack("!I", crc32(lengths)) + written + payload
    return message + pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    told, said = name.encode(), value.encode()
    return pack("!B", len(told)) + told + pack("!BH", _STRING, len(said)) + said
