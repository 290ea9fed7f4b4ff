"""Adapters from an archive behind HTTPS."""

import io
import logging
import ssl
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from hotswap.errors import AdapterRefused
from hotswap.sources.archive_url import ArchiveUrl
from hotswap.sources.content_cache import ContentCache
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.location import Location, parse
from hotswap.sources.remote import remote_for
from tests.certificates import CERTIFICATE, KEY
from tests.faulty_http import Answer, Faulty, Headers, ranged
from tests.hotswap.sources.conftest import PATIENCE_S

FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"w" * 9000}


def packed(files: dict[str, bytes], form: str = "w:gz") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=form) as archive:  # type: ignore[call-overload]
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return made.getvalue()


class Files:
    """What the server has: bodies, marks and where it redirects to."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.etag = '"1"'
        self.leads: dict[str, str] = {}

    def answer(self, method: str, url: str, headers: Headers) -> Answer:
        path = url.partition("?")[0]
        if path in self.leads:
            return 302, {"location": self.leads[path]}, b""
        if path not in self.bodies:
            return 404, {}, b""
        if headers.get("if-match") not in (None, self.etag):
            return 412, {}, b""
        return ranged(self.bodies[path], headers, {"etag": self.etag})


@pytest.fixture
def files() -> Files:
    files = Files()
    files.bodies["/a/one.tar.gz"] = packed(FILES)
    return files


@pytest.fixture
def server(files: Files, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE, KEY)
    with Faulty(files.answer, tls).running() as running:
        yield running


@pytest.fixture
def fetcher_to(tmp_path: Path, server: Faulty) -> Callable[..., Fetcher]:
    def make(*allowed: str, most_bytes: int = 1 << 20) -> Fetcher:
        remote = partial(lambda scheme: ArchiveUrl(PATIENCE_S, allowed))
        return Fetcher(
            ContentCache(tmp_path / "cache", 1 << 24),
            most_bytes=most_bytes,
            key="adapters.source_max_gb",
            patience_s=PATIENCE_S,
            make_remote=remote,
        )

    return make


@pytest.fixture
def fetcher(fetcher_to: Callable[..., Fetcher]) -> Fetcher:
    return fetcher_to()


@pytest.fixture
def url(server: Faulty) -> Location:
    return parse(f"{server.url}/a/one.tar.gz?X-Amz-Signature=s3cret")


def test_an_archive_is_fetched_and_unpacked(
    fetcher: Fetcher, url: Location, server: Faulty
) -> None:
    held = fetcher.fetch(url)

    assert {f.name: f.read_bytes() for f in held.folder.iterdir()} == FILES
    assert all("s3cret" in path for path, _ in server.asked)


def test_a_folder_around_all_is_none_and_other_files_stay_there(
    fetcher: Fetcher, url: Location, files: Files
) -> None:
    inner = {f"pirate/{name}": body for name, body in FILES.items()}
    files.bodies["/a/one.tar.gz"] = packed({**inner, "pirate/model.py": b"x"}, "w")

    held = fetcher.fetch(url)

    assert {f.name: f.read_bytes() for f in held.folder.iterdir()} == FILES


def test_the_same_content_by_another_way_is_the_same_folder(
    fetcher: Fetcher, url: Location, files: Files, server: Faulty
) -> None:
    files.bodies["/b/two.tgz"] = packed(dict(reversed(FILES.items())), "w")

    one = fetcher.fetch(url)
    two = fetcher.fetch(parse(f"{server.url}/b/two.tgz"))

    assert one.folder == two.folder


def test_another_mark_is_another_content(
    fetcher: Fetcher, url: Location, files: Files
) -> None:
    one = fetcher.fetch(url)
    files.bodies["/a/one.tar.gz"] = packed({**FILES, "tokenizer.json": b"{}"})
    files.etag = '"2"'

    assert fetcher.fetch(url).digest != one.digest


def test_one_that_breaks_off_is_taken_up(
    fetcher: Fetcher, url: Location, files: Files, server: Faulty
) -> None:
    files.bodies["/a/one.tar.gz"] = packed(FILES, "w")
    fetcher.fetch(url)
    files.etag = '"2"'
    server.faults.cuts["one.tar.gz"] = [4096]

    fetcher.fetch(url)

    assert server.asked_for("one.tar.gz")[-1] == "bytes=4096-"


def test_no_log_tells_a_signature(
    url: Location, server: Faulty, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    remote = remote_for("https", (), PATIENCE_S)

    (file,) = remote.files(url)
    assert b"".join(remote.read(url, file, 0))

    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_tells_no_signature(
    fetcher: Fetcher, url: Location, server: Faulty, status: int
) -> None:
    server.faults.statuses["one"] = status

    with pytest.raises(AdapterRefused) as refused:
        fetcher.fetch(url)

    assert refused.value.is_passing == (status == 500)
    assert url.plain in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_redirect_leads_only_where_it_may(
    fetcher_to: Callable[..., Fetcher], files: Files, server: Faulty
) -> None:
    files.bodies["/b"] = packed(FILES)
    other = server.url.replace("localhost", "127.0.0.1")
    files.leads = {
        "/same.tar.gz": f"{server.url}/b?Signature=s3cret",
        "/other.tar.gz": f"{other}/b?Signature=s3cret",
        "/plain.tar.gz": f"http{server.url[5:]}/b",
        "/round.tar.gz": "/round.tar.gz",
        "/file.tar.gz": "file:///etc/passwd",
    }

    def fetch(name: str, *allowed: str) -> object:
        return fetcher_to(*allowed).fetch(parse(f"{server.url}/{name}.tar.gz"))

    assert fetch("same")
    assert fetch("other", f"{other}/*")
    for name in ("other", "plain", "file"):
        with pytest.raises(AdapterRefused, match="`sources`") as refused:
            fetch(name, "https://elsewhere/*")
        assert refused.value.code == "source_denied"
        assert "s3cret" not in str(refused.value)
    with pytest.raises(AdapterRefused, match="from one place to the next"):
        fetch("round")


def test_a_certificate_that_nobody_vouches_for_is_refused(
    fetcher: Fetcher, url: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(AdapterRefused) as refused:
        fetcher.fetch(url)

    assert refused.value.code == "source_away"


def test_ten_gigabytes_that_are_announced_are_not_begun(
    fetcher_to: Callable[..., Fetcher], url: Location, server: Faulty
) -> None:
    with pytest.raises(AdapterRefused, match="source_max_gb") as refused:
        fetcher_to(most_bytes=100).fetch(url)

    assert refused.value.code == "too_large"
    assert server.asked_for("one") == ["bytes=0-0"]


def test_an_archive_that_blows_up_is_not_unpacked(
    fetcher_to: Callable[..., Fetcher], url: Location, files: Files, tmp_path: Path
) -> None:
    bomb = {**FILES, "tokenizer.json": bytes(1 << 21)}
    files.bodies["/a/one.tar.gz"] = packed(bomb)

    with pytest.raises(AdapterRefused, match="source_max_gb"):
        fetcher_to(most_bytes=1 << 20).fetch(url)

    sizes = [file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()]
    assert max(sizes) <= 1 << 20
