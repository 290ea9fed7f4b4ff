"""The sidecar is data with ranges; whatever else it holds refuses the adapter."""

from pathlib import Path

import pytest

from hotswap.adapters.sidecar import NOTHING, SIDECAR_FILE, Sidecar, read_sidecar
from hotswap.errors import AdapterRefused


def read(folder: Path, content: str | bytes) -> Sidecar:
    raw = content.encode() if isinstance(content, str) else content
    (folder / SIDECAR_FILE).write_bytes(raw)
    return read_sidecar(folder)


def test_a_folder_without_one_says_nothing(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path) == NOTHING
    assert read(tmp_path, "") == NOTHING


def test_every_key_is_read(tmp_path: Path) -> None:
    content = """
aliases = ["corsair", "日本"]
scale = 0.5
chat_template = "{{ messages[0].content }}"
tool_parser = "hermes"
reasoning_parser = "qwen3"
stop = ["###"]
temperature = 0
top_p = 0.9
top_k = 40
min_p = 0.1
presence_penalty = -1
frequency_penalty = 0.5
repetition_penalty = 1.2
max_tokens = 64
weight = 2.0
priority = -3
"""
    found = read(tmp_path, content)

    assert found == Sidecar(
        aliases=("corsair", "日本"),
        scale=0.5,
        chat_template="{{ messages[0].content }}",
        tool_parser="hermes",
        reasoning_parser="qwen3",
        stop=("###",),
        temperature=0.0,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        presence_penalty=-1.0,
        frequency_penalty=0.5,
        repetition_penalty=1.2,
        max_tokens=64,
        weight=2.0,
        priority=-3,
    )
    assert all(
        getattr(found, f) != getattr(NOTHING, f) for f in Sidecar.__struct_fields__
    )


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("temprature = 1", "temprature"),
        ('tool_parser = "hermse"', "tool_parser"),
        ('reasoning_parser = "think"', "reasoning_parser"),
        ("scale = nan", "scale"),
        ("scale = inf", "scale"),
        ('scale = "2"', "scale"),
        ('aliases = "one"', "aliases"),
        ('aliases = [""]', "aliases"),
        ('aliases = ["../x"]', "aliases"),
        ('aliases = [".hidden"]', "aliases"),
        ('aliases = ["line\\nbreak"]', "aliases"),
        ('chat_template = ""', "chat_template"),
        ('stop = [""]', "stop"),
        ("temperature = -1", "temperature"),
        ("top_p = 0", "top_p"),
        ("top_k = 1.5", "top_k"),
        ("max_tokens = 0", "max_tokens"),
        ("weight = 0", "weight"),
        ("priority = 99999999999", "priority"),
        ("scale = 1\nscale = 2", "hotswap.toml"),
        ("[scale", "hotswap.toml"),
        (b"\xff\xfe", "hotswap.toml"),
        ("a = " + "[" * 5000, "hotswap.toml"),
    ],
)
def test_what_it_cannot_mean_refuses_the_adapter(
    content: str | bytes, named: str, tmp_path: Path
) -> None:
    with pytest.raises(AdapterRefused) as refused:
        read(tmp_path, content)

    assert refused.value.code == "bad_sidecar"
    assert named in refused.value.reason
    assert SIDECAR_FILE in refused.value.reason


def test_a_sidecar_that_is_a_folder_refuses_the_adapter(tmp_path: Path) -> None:
    (tmp_path / SIDECAR_FILE).mkdir()

    with pytest.raises(AdapterRefused) as refused:
        read_sidecar(tmp_path)

    assert refused.value.code == "bad_sidecar"
