"""Whatever lies under a name that is read, it ends at once in bytes or a refusal."""

import errno
import os
import socket
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import pytest

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import CONFIG_FILE, TOKENIZER_FILES, WEIGHTS_FILE
from hotswap.adapters.files import read_file, without_places
from hotswap.adapters.layout import Layout
from hotswap.adapters.limits import CheckpointLimits
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.errors import AdapterRefused
from hotswap.library.adapter_sources import Sources
from hotswap.library.folder_reader import FolderReader
from hotswap.model.eager.executor import EagerExecutor
from hotswap.short_thread import in_short_thread
from tests import tiny

KINDS = ("pipe", "socket", "folder", "device", "endless device")
NAMES = (CONFIG_FILE, WEIGHTS_FILE, SIDECAR_FILE, *TOKENIZER_FILES)


def plant(kind: str, path: Path) -> None:
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            here = Path.cwd()
            os.chdir(path.parent)  # a socket's path may not be long
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
            os.chdir(here)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/null")
        case "endless device":
            path.symlink_to("/dev/zero")


def refusal(folder: Path, name: str, most: int = 100) -> AdapterRefused:
    with pytest.raises(AdapterRefused) as refused:
        in_short_thread(
            lambda: read_file(folder, name, most, code="bad"), disk_patience_s=5
        )
    return refused.value


@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_refused_and_never_waited_for(
    kind: str, is_link: bool, tmp_path: Path
) -> None:
    plant(kind, tmp_path / ("other" if is_link else "file"))
    if is_link:
        (tmp_path / "file").symlink_to("other")

    error = refusal(tmp_path, "file")

    assert (error.code, error.reason) == ("bad", "file is no regular file")
    assert not error.is_passing


def test_what_is_swapped_for_a_pipe_between_look_and_open_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    opened = os.open

    def swapped(path: Path, flags: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return opened(path, flags)

    monkeypatch.setattr(os, "open", swapped)

    assert refusal(tmp_path, "file").reason == "file is no regular file"


def test_what_is_absent_or_leads_nowhere_is_none(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")

    assert read_file(tmp_path, "file", 1, code="bad") is None
    assert read_file(tmp_path, "link", 1, code="bad") is None


def test_a_file_is_read_up_to_its_bound_and_not_beyond(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)

    assert read_file(tmp_path, "file", 100, code="bad") == b"x" * 100
    assert refusal(tmp_path, "file", 99).reason == (
        "file has 100 bytes; the limit is 99"
    )


def test_a_file_that_says_no_size_is_bounded_by_what_comes(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to("/proc/self/environ")  # 0 bytes, it says
    if not os.environ or not Path("/proc/self/environ").exists():
        pytest.skip("a file of Linux'")

    assert "the limit is 1" in refusal(tmp_path, "file", 1).reason


def test_what_cannot_be_read_just_now_is_passing(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to("file")

    error = refusal(tmp_path, "file")

    assert error.is_passing
    assert "file: Too many levels" in error.reason


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_an_adapter_has_a_bound_and_has_to_be_a_file(
    name: str, tmp_path: Path, runner: EagerExecutor, adapter_folders: Path
) -> None:
    tiny.tokenizer().save_pretrained(tmp_path)  # else the rest is not looked at
    for source in (adapter_folders / "a0").iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / name).unlink(missing_ok=True)
    with (tmp_path / name).open("wb") as sparse:
        sparse.truncate(1 << 40)
    large = whole_refusal(tmp_path, runner.layout)

    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    pipe = whole_refusal(tmp_path, runner.layout)

    assert f"{name} has {1 << 40} bytes; the limit is" in large
    assert f"{name} is no regular file" in pipe


def whole_refusal(folder: Path, layout: Layout) -> str:
    tokenizers = AdapterTokenizers(tiny.tokenizer())
    read_folder = partial(read, layout=layout, tokenizers=tokenizers)
    reader = FolderReader(read_folder, Sources([folder.parent]))
    with pytest.raises(AdapterRefused) as refused:
        in_short_thread(
            partial(reader.source, folder.name, whole=True), disk_patience_s=5
        )
    return refused.value.reason


def test_a_weights_file_is_bounded_by_the_model_and_the_message_names_the_key(
    tmp_path: Path, runner: EagerExecutor, adapter_folders: Path
) -> None:
    for source in (adapter_folders / "a0").iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    os.truncate(tmp_path / WEIGHTS_FILE, 1 << 34)

    by_model = whole_refusal(tmp_path, runner.layout)
    with pytest.raises(AdapterRefused) as by_key:
        read(tmp_path, runner.layout, CheckpointLimits(max_bytes=5000))

    assert by_model.endswith(f"the limit is {1 << 26} (`max_bytes` under [adapters])")
    assert "the limit is 5000 (`max_bytes` under [adapters])" in by_key.value.reason


def test_no_message_points_to_a_temporary_place() -> None:
    with tempfile.TemporaryDirectory(prefix="hotswap-") as place:
        said = f"OSError: {place}/tokenizer.json: bad, see '{place}'"

    assert without_places(said) == "OSError: tokenizer.json: bad, see ''"


def test_an_adapter_is_not_at_fault_for_what_the_system_lacks_to_read_it(
    tmp_path: Path, runner: EagerExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    # A pattern is tried in a process of its own.
    folder = tiny.save_adapter(tmp_path, "llama", seed=1, target_modules=r".*\.q_proj")
    monkeypatch.setattr(subprocess, "Popen", refuse)

    with pytest.raises(AdapterRefused, match="Too many open files") as refused:
        read(folder, runner.layout)
    assert refused.value.is_passing
