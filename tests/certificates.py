"""Certificates of nobody, for localhost, in tests/data/tls: made once, by

    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 ...

`EXPIRED` and `LATER` are of the same key, by `openssl ca -selfsign -startdate ...`;
`SECRET_KEY` is that key with a password.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent / "data" / "tls"
CERTIFICATE = _FOLDER / "certificate.pem"
EXPIRED = _FOLDER / "expired.pem"
LATER = _FOLDER / "later.pem"
KEY = _FOLDER / "key.pem"
OTHER_KEY = _FOLDER / "other_key.pem"
SECRET_KEY = _FOLDER / "secret_key.pem"
