"""A C file is compiled once, by whoever may; where it cannot be, one line says why."""

import time
from pathlib import Path

import pytest

from hotswap.model.machine import native as module
from hotswap.model.machine.native import NoLibrary, library
from tests.compilers import needs_compiler


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "answer.c"
    file.write_text("int answer(void) { return 42; }\n")
    return file


def compiler(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """The only one there is."""
    folder.mkdir()
    (folder / "cc").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache/hotswap/native").iterdir())


@needs_compiler
def test_a_file_is_compiled_once_and_anew_when_it_changes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert library(source).answer() == 42
    (first,) = files(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(module, "_compile", None)  # would fail if called
        assert library(source).answer() == 42

    source.write_text("int answer(void) { return 43; }\n")

    assert library(source).answer() == 43
    assert len(files(tmp_path)) == 2
    assert first in files(tmp_path)


@needs_compiler
def test_a_file_is_compiled_anew_when_what_it_includes_changes(source: Path) -> None:
    header = source.with_name("said.h")
    source.write_text('#include "said.h"\nint answer(void) { return SAID; }\n')
    for said in (42, 43):
        header.write_text(f"#define SAID {said}\n")
        assert library(source).answer() == said


def test_without_a_compiler_there_is_none(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(NoLibrary, match="no C compiler"):
        library(source)


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(tmp_path / "bin", monkeypatch, "echo no room; echo more; exit 1")
    with pytest.raises(NoLibrary, match=r"failed: no room$"):
        library(source)
    assert files(tmp_path) == []


def test_a_compiler_that_hangs_is_ended_and_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(tmp_path / "bin", monkeypatch, "exec sleep 60")
    monkeypatch.setattr(module, "_LIMIT_S", 0.1)
    begun = time.monotonic()
    with pytest.raises(NoLibrary, match="timed out"):
        library(source)
    assert time.monotonic() - begun < 30
    assert files(tmp_path) == []


def test_what_is_no_library_is_not_loaded(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = 'while [ "$1" != -o ]; do shift; done; echo no library > "$2"'
    compiler(tmp_path / "bin", monkeypatch, writes)
    with pytest.raises(NoLibrary):
        library(source)


@needs_compiler
def test_a_library_that_others_could_have_written_is_not_loaded(
    source: Path, tmp_path: Path
) -> None:
    library(source)
    folder = tmp_path / "cache/hotswap/native"
    (made,) = folder.iterdir()
    for path in (made, folder):
        before = path.stat().st_mode
        path.chmod(before | 0o020)
        with pytest.raises(NoLibrary, match="others may write"):
            library(source)
        path.chmod(before)
    assert library(source).answer() == 42


def test_a_folder_that_cannot_be_written_is_no_failure(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(NoLibrary, match="file"):
        library(source)
