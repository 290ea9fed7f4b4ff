"""A stranger's archive: data comes out of it, in its folder, or nothing."""

import gzip
import io
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import AdapterRefused
from hotswap.sources.location import Location
from hotswap.sources.tar_archive import unpack

WHERE = Location("https", "host", "x.tar.gz")
Change = Callable[[tarfile.TarInfo], None]


def archive(*changes: Change, size: int = 2) -> bytes:
    """With one good file, and one more that each change is done to."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT) as packed:
        for number, change in enumerate([lambda member: None, *changes]):
            member = tarfile.TarInfo(f"file{number}.json")
            member.size = size
            change(member)
            packed.addfile(member, io.BytesIO(b"{" * member.size))
    return made.getvalue()


def unpacked(tmp_path: Path, body: bytes, most_bytes: int = 1 << 20) -> set[str]:
    """What lies in the folder then."""
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    (folder / "archive.tar").write_bytes(body)
    unpack(
        folder / "archive.tar",
        folder,
        WHERE,
        most_bytes=most_bytes,
        key="key",
        stop=threading.Event(),
    )
    return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}


def changed(**values: object) -> Change:
    def change(member: tarfile.TarInfo) -> None:
        for name, value in values.items():
            setattr(member, name, value)

    return change


def test_good_files_come_out_and_nothing_else_is_left(tmp_path: Path) -> None:
    found = unpacked(tmp_path, archive(changed(name="run.py"), changed(name="a.bin")))

    assert found == {"folder", "folder/file0.json"}


@pytest.mark.parametrize(
    "change",
    [
        changed(type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0),
        changed(type=tarfile.LNKTYPE, linkname="../outside", size=0),
        changed(type=tarfile.FIFOTYPE, size=0),
        changed(type=tarfile.CHRTYPE, size=0),
        changed(name="../outside.json"),
        changed(name="/tmp/outside.json"),
        changed(name="a/../../outside.json"),
        changed(name="..\\outside.json"),
    ],
)
def test_links_devices_and_ways_out_end_it(tmp_path: Path, change: Change) -> None:
    with pytest.raises(AdapterRefused) as refused:
        unpacked(tmp_path, archive(change))

    assert refused.value.code == "bad_archive"
    assert not list(tmp_path.rglob("*outside*"))


def test_a_header_that_claims_to_be_huge_costs_no_memory(tmp_path: Path) -> None:
    huge = tarfile.TarInfo("file.json")
    huge.type, huge.size = tarfile.XHDTYPE, 8 << 20
    body = gzip.compress(huge.tobuf() + bytes(8 << 20))

    with pytest.raises(AdapterRefused) as refused:
        unpacked(tmp_path, body, most_bytes=1 << 24)

    assert refused.value.code == "bad_archive"


@pytest.mark.parametrize(
    "body",
    [b"", b"no archive", archive()[:-20], gzip.compress(b"no archive" * 100)],
)
def test_what_is_no_whole_archive_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(AdapterRefused) as refused:
        unpacked(tmp_path, body)

    assert refused.value.code == "bad_archive"


def test_members_that_claim_more_than_is_allowed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused) as refused:
        unpacked(tmp_path, archive(size=600), most_bytes=500)

    assert refused.value.code == "too_large"


@settings(deadline=None)
@given(at=st.integers(0, 1023), bits=st.integers(1, 255))
def test_whatever_is_broken_in_it_ends_in_one_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, bits: int
) -> None:
    body = bytearray(gzip.decompress(archive(changed(name="tokenizer.model"))))
    body[at] ^= bits
    folder = tmp_path_factory.mktemp("broken")

    try:
        found = unpacked(folder, bytes(body))
    except AdapterRefused:
        return
    assert all(path.startswith("folder") for path in found)
