"""TLS: whether a certificate and its key can serve: looked at before the model is read.

uvicorn loads the same two files, with Python's defaults: TLS 1.2 or newer.
"""

import ssl
from contextlib import suppress

from hotswap.errors import StartFailed

# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED
_OUT_OF_TIME = (9, 10)
_ROUNDS = 8  # a handshake takes two


def check(cert: str, key: str) -> None:
    """`cert`, `key`: paths of PEM files, the certificate's chain after it; "" is none.

    Raises StartFailed for one without the other, for files that cannot be read or do
    not belong together, for a key with a password, and for a certificate that is not
    valid now.
    """
    if not cert and not key:
        return
    for name, other, path in (("tls_cert", key, cert), ("tls_key", cert, key)):
        if not path:
            raise StartFailed(f"server.{name}: it is missing beside {other}")
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise StartFailed(f"server.{name} {path}: {error.strerror}") from None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or "no PEM"
        raise StartFailed(
            f"server.tls_cert {cert} with server.tls_key {key}: "
            f"{why.replace('_', ' ').lower()}"
        ) from None
    if why := _out_of_time(server, cert):
        raise StartFailed(f"server.tls_cert {cert}: {why}")


def _no_password() -> str:
    raise StartFailed("server.tls_key: it has a password: leave one without here")


def _out_of_time(server: ssl.SSLContext, cert: str) -> str:
    """Why the certificate is not valid now, "" if it is: what a client says that trusts
    nothing else, in a handshake within the memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cafile=cert)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    try:
        for _ in range(_ROUNDS):
            for side in sides:
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message if error.verify_code in _OUT_OF_TIME else ""
    except ssl.SSLError:
        return ""  # a client may still like it
    return ""
