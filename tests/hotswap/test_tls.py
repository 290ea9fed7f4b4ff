"""A certificate and its key: what can serve does, and all else ends the start."""

import shutil
from pathlib import Path

import pytest

from hotswap import tls
from hotswap.errors import StartFailed
from hotswap.start import ready
from tests.certificates import CERTIFICATE, EXPIRED, KEY, LATER, OTHER_KEY, SECRET_KEY
from tests.servers import settings

WRONG = {
    "no key": (CERTIFICATE, None, "tls_key: it is missing"),
    "no certificate": (None, KEY, "tls_cert: it is missing"),
    "no such certificate": ("/no/such.pem", KEY, "tls_cert /no/such.pem: No such"),
    "no such key": (CERTIFICATE, "/no/such.pem", "tls_key /no/such.pem: No such"),
    "another's key": (CERTIFICATE, OTHER_KEY, "key values mismatch"),
    "the wrong way round": (KEY, CERTIFICATE, "tls_cert"),
    "no PEM": (Path(__file__), KEY, "tls_cert"),
    "a folder": (CERTIFICATE.parent, KEY, "Is a directory"),
    "a key with a password": (CERTIFICATE, SECRET_KEY, "has a password"),
    "a certificate of yesterday": (EXPIRED, KEY, "expired"),
    "a certificate of tomorrow": (LATER, KEY, "not yet valid"),
}


@pytest.mark.parametrize(("cert", "key", "why"), WRONG.values(), ids=list(WRONG))
def test_what_cannot_serve_ends_the_start_in_one_line(
    cert: Path | None, key: Path | None, why: str
) -> None:
    with pytest.raises(StartFailed, match=why) as failed:
        tls.check(str(cert or ""), str(key or ""))

    assert "\n" not in str(failed.value)


def test_a_pair_that_belongs_together_can_serve_also_with_a_chain(
    tmp_path: Path,
) -> None:
    tls.check("", "")
    tls.check(str(CERTIFICATE), str(KEY))
    chain = tmp_path / "chain.pem"
    shutil.copy(CERTIFICATE, chain)
    with chain.open("a") as file:
        file.write(EXPIRED.read_text())  # nobody's business here

    tls.check(str(chain), str(KEY))


def test_the_start_looks_at_it_first(model_folder: Path, tmp_path: Path) -> None:
    pair = {"port": 0, "tls_cert": str(EXPIRED), "tls_key": str(KEY)}

    with (
        pytest.raises(StartFailed, match="expired"),
        ready(settings(model_folder, tmp_path, server=pair)),
    ):
        pass
