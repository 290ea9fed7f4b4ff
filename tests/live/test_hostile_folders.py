"""Whatever an adapter's folder is, the others are served: promise 10, on the real
command, with the bounds of test_hostile_requests."""

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests import tiny
from tests.live.hostile import Served, has_all_it_had, others_are_served, serving
from tests.servers import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def served(
    model_folder: Path, adapter_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("hostile")
    with serving(model_folder, adapter_folders, place) as found:
        yield found


def fifo(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()
    os.mkfifo(folder / "adapter_model.safetensors")


def socket_file(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "adapter_config.json"))


def device(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()
    (folder / "adapter_config.json").symlink_to("/dev/zero")


def sparse(folder: Path, name: str, size: int) -> None:
    with (folder / name).open("wb") as file:
        file.truncate(size)


def many_files(folder: Path) -> None:
    for n in range(20_000):
        (folder / f"file{n}").touch()


def tokenizer(folder: Path, **changes: object) -> None:
    tiny.tokenizer().save_pretrained(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


PANIC = {
    "type": "Replace",
    "pattern": {"Regex": "(a|aa)+$"},
    "content": "",
}
UNKNOWN = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<nobody>", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
}
FOLDERS: dict[str, Callable[[Path], object]] = {
    "a pipe for weights": fifo,
    "a socket for a config": socket_file,
    "a device for a config": device,
    "weights of 100 GB": lambda folder: sparse(
        folder, "adapter_model.safetensors", 100 * 2**30
    ),
    "a sidecar of 300 MB": lambda folder: sparse(folder, "hotswap.toml", 300 * 2**20),
    "a config of 300 MB": lambda folder: sparse(
        folder, "adapter_config.json", 300 * 2**20
    ),
    "a tokenizer that panics when it decodes": lambda folder: tokenizer(
        folder, decoder=PANIC
    ),
    "a tokenizer that panics when it encodes": lambda folder: tokenizer(
        folder, post_processor=UNKNOWN
    ),
    "20,000 files": many_files,
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_no_folder_stops_the_others(served: Served, kind: str, tmp_path: Path) -> None:
    number = list(FOLDERS).index(kind)
    bad, good = served.adapters / f"bad{number}", served.adapters / f"good{number}"
    made = Path(shutil.copytree(served.adapters / "a0", tmp_path / "made"))
    FOLDERS[kind](made)

    def work() -> None:
        made.rename(bad)
        shutil.copytree(served.adapters / "a2", good)
        wait_until(lambda: served.is_ready(good.name), 10)
        wait_until(lambda: bool(served.row(bad.name).get("state")), 10)

    others_are_served(served, work)

    row = served.row(bad.name)
    assert row["state"] in ("ready", "failed"), row
    shutil.rmtree(bad)
    shutil.rmtree(good)
    wait_until(lambda: not served.row(good.name), 10)


TEMPLATES = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
    "{% endfor %}",
    "grows": '{{ "x" * 99999999999 }}',
    "counts": "{{ 9 ** 99999999 }}",
    "pads": '{{ "%099999999999d" % 1 }}',
    "recurses": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_no_template_stops_the_others(
    served: Served, kind: str, tmp_path: Path
) -> None:
    """Harmless when it is tried, and hostile for a message that asks for it."""
    made = Path(shutil.copytree(served.adapters / "a0", tmp_path / "made"))
    hostile = TEMPLATES[kind]
    template = "{% if messages[0]['content'] == 'attack' %}" + hostile + "{% endif %}hi"
    (made / "hotswap.toml").write_text(f"chat_template = {json.dumps(template)}\n")
    made.rename(served.adapters / f"t-{kind}")
    wait_until(lambda: served.is_ready(f"t-{kind}"), 10)

    def attack(_: int) -> httpx.Response:
        messages = [{"role": "user", "content": "attack"}]
        body = {"model": f"t-{kind}", "messages": messages}
        return served.post("/v1/chat/completions", body)

    def work() -> None:
        with ThreadPoolExecutor(12) as many:
            for answer in many.map(attack, range(12)):
                assert answer.status_code in (400, 429, 503), answer.text
                if answer.status_code == 400:
                    assert f"t-{kind}" in answer.text

    others_are_served(served, work)
    shutil.rmtree(served.adapters / f"t-{kind}")


def test_it_has_still_all_it_had(served: Served) -> None:
    assert has_all_it_had(served)
