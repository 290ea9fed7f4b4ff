"""HTTPS at a real server, by its command: what it says, and what plain HTTP gets."""

import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.certificates import CERTIFICATE, KEY, OTHER_KEY
from tests.servers import free_port, wait_until


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    number, log = free_port(), tmp_path_factory.mktemp("tls") / "log"
    command = [sys.executable, "-m", "hotswap.cli", "serve", "echo"]
    command += ["--port", str(number)]
    command += ["--tls-cert", str(CERTIFICATE), "--tls-key", str(KEY)]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as run:
        try:
            wait_until(
                lambda: "ready url=" in log.read_text() or run.poll() is not None
            )
            yield number
        finally:
            run.terminate()
            run.wait(30)
    assert f"url=https://127.0.0.1:{number}" in log.read_text()
    assert "Traceback" not in log.read_text()


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CERTIFICATE)


def test_a_client_that_trusts_the_certificate_is_answered(port: int) -> None:
    with httpx.Client(verify=trusting()) as client:
        url = f"https://127.0.0.1:{port}"
        health = client.get(f"{url}/health")
        chat = {"messages": [{"role": "user", "content": "abc"}], "stream": True}
        answer = client.post(f"{url}/v1/chat/completions", json=chat)
        page = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
        same = client.post(f"{url}/v1/completions", json={"prompt": "x"}, headers=page)

    assert health.json()["ready"]
    assert answer.text.endswith("data: [DONE]\n\n")
    assert same.status_code == 200


def test_a_client_that_does_not_trust_it_is_not(port: int) -> None:
    with httpx.Client() as client, pytest.raises(httpx.ConnectError, match="verify"):
        client.get(f"https://127.0.0.1:{port}/health")


@pytest.mark.parametrize(
    "sent",
    [b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"x"],
)
def test_plain_http_and_nonsense_are_hung_up_on_and_others_go_on(
    sent: bytes, port: int
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.sendall(sent)
        plain.shutdown(socket.SHUT_WR)
        try:
            found = b""
            while part := plain.recv(4096):
                found += part
        except ConnectionResetError:
            pass

    assert b"HTTP/1" not in found
    with httpx.Client(verify=trusting()) as client:
        assert client.get(f"https://127.0.0.1:{port}/health").status_code == 200


def test_an_old_version_of_tls_is_refused(port: int) -> None:
    old = trusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")

    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(plain, server_hostname="localhost")


def test_a_pair_that_does_not_belong_together_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hotswap.cli", "serve", "echo", "--port", "0"]
    command += ["--tls-cert", str(CERTIFICATE), "--tls-key", str(OTHER_KEY)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "key values mismatch" in line
