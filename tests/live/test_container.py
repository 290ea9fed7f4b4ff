"""The container file: each step as far as it can be taken outside a container."""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.containerfile import ROOT, Step, environment, stages, steps
from tests.servers import free_port, wait_until

NOBODY = 65534
_, BUILD, RUN = stages()
# What the container has of its own, and is beside us here.
OURS = re.compile(r"(?<![\w/])/(?=(src|wheels|opt/hotswap|cache|adapters)\b)")


@pytest.mark.parametrize("step", steps(BUILD + RUN, "RUN"), ids=lambda s: s.text[:40])
def test_every_command_is_one_of_a_shell(step: Step) -> None:
    subprocess.run(["sh", "-n", "-c", step.text], check=True)


def test_it_runs_as_nobody_in_particular_and_the_server_gets_the_signals() -> None:
    (user,) = steps(RUN, "USER")
    entry, usual = steps(RUN, "ENTRYPOINT")[0], steps(RUN, "CMD")[0]

    assert int(user.text) > 0
    assert RUN.index(user) > max(map(RUN.index, steps(RUN, "RUN")))
    assert entry.text.startswith("[")  # no shell in between
    assert usual.text.startswith("[")
    assert entry.words == ["hotswap", "serve"]
    made = steps(RUN, "RUN")[1].text
    assert all(place in made for place in steps(RUN, "VOLUME")[0].words)


@dataclass(frozen=True, slots=True)
class Image:
    """What the steps make, in a folder that all may read and only root writes."""

    place: Path
    environment: dict[str, str]

    def here(self, text: str) -> str:
        return OURS.sub(f"{self.place}/", text)

    def run(self, *words: str) -> subprocess.Popen[bytes]:
        """As a user who owns nothing here, if we may choose."""
        nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        command = [*(nobody if os.geteuid() == 0 else []), *map(self.here, words)]
        with (self.place / "log").open("ab") as log:
            return subprocess.Popen(
                command, env=self.environment, cwd="/", stdout=log, stderr=log
            )

    def files(self) -> set[Path]:
        return set((self.place / "opt").rglob("*"))


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with tempfile.TemporaryDirectory(prefix="hotswap-image-") as name:
        place = Path(name)
        place.chmod(0o755)  # all may enter it
        made = built(place)
        subprocess.run(["chmod", "-R", "a-w", place / "opt"], check=True)
        yield made
        subprocess.run(["chmod", "-R", "u+w", place / "opt"], check=True)


def built(place: Path) -> Image:
    (place / "bin").mkdir()
    (place / "bin" / "python").symlink_to(sys.executable)
    found = {k: OURS.sub(f"{place}/", v) for k, v in environment(BUILD + RUN).items()}
    found["PATH"] += f":{place}/bin"
    made = Image(place, found | {"HOME": "/nonexistent"})
    for step in BUILD:
        if step.name == "COPY":
            copy(step, made)
        elif "--requirement" in step.text:
            lend_what_is_installed(made)
        elif step.name == "RUN":
            env = made.environment | {"PATH": f"{place}/bin:/usr/bin:/bin"}
            subprocess.run(["sh", "-c", made.here(step.text)], env=env, check=True)
    for volume in steps(RUN, "VOLUME")[0].words:
        Path(made.here(volume)).mkdir()
        if os.geteuid() == 0:
            os.chown(made.here(volume), NOBODY, NOBODY)
    return made


def copy(step: Step, image: Image) -> None:
    *sources, target = map(image.here, step.words)
    for source in sources:
        path = ROOT / source
        assert path.exists()
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, target, ignore=ignored)
        else:
            Path(target).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def lend_what_is_installed(image: Image) -> None:
    """In place of what would be fetched: the packages of this Python, but not ours."""
    wanted = (image.place / "src" / "requirements.txt").read_text()
    assert {"torch", "llguidance", "setuptools"} <= set(
        re.findall(r"^\w+", wanted, re.M)
    )
    (there,) = (image.place / "opt" / "hotswap").glob("lib/python*/site-packages")
    for older in there.glob("setuptools*"):  # venv's own, that is replaced
        shutil.rmtree(older)
    (there / "lent.pth").write_text(sysconfig.get_path("purelib"))


@pytest.mark.slow
def test_what_is_built_serves_as_a_user_who_may_write_the_volumes_alone(
    image: Image,
) -> None:
    port, before = free_port(), image.files()
    settings = image.place / "config.toml"
    settings.write_text(
        f'[model]\npath = "echo"\n[server]\nport = {port}\n'
        f'[adapters]\ndirectory = "{image.here("/adapters")}"\n'
    )
    (health,) = steps(RUN, "HEALTHCHECK")
    check = Step("CMD", {}, health.text.removeprefix("CMD ")).words

    def is_healthy() -> int:
        words = [word.replace("8080", str(port)) for word in check]
        return image.run(*words).wait(20)

    assert is_healthy() == 1
    server = image.run(*steps(RUN, "ENTRYPOINT")[0].words, "--config", str(settings))
    try:
        wait_until(lambda: server.poll() is not None or is_healthy() == 0, 60)
        log = (image.place / "log").read_text()
        assert server.poll() is None, log
        assert f"ready url=http://127.0.0.1:{port}" in log
        assert os.geteuid() != 0 or is_nobody(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
    assert server.wait(30) == -signal.SIGTERM
    assert is_healthy() == 1
    assert image.files() == before


def is_nobody(pid: int) -> bool:
    return Path(f"/proc/{pid}").stat().st_uid == NOBODY
