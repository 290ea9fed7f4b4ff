"""configs/: the examples for who runs a server say what holds, and can be read."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from hotswap import cli
from hotswap.api.application import PARTS
from hotswap.limit_options import LimitsConfig
from hotswap.server_options import ServerConfig
from tests.nginx import NGINX as PROGRAM
from tests.nginx import temporary_paths

CONFIGS = Path(__file__).parent.parent / "configs"
UNIT = CONFIGS / "hotswap.service"
NGINX = CONFIGS / "nginx.conf"
FLEET = CONFIGS / "nginx-fleet.conf"
CADDY = CONFIGS / "Caddyfile"
LIMITS = LimitsConfig()


def seconds(name: str, text: str) -> int:
    (found,) = re.findall(rf"^\s*{name} (\d+)s", text, re.M)
    return int(found)


def unit() -> configparser.SectionProxy:
    found = configparser.RawConfigParser(strict=False)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(UNIT)
    assert found.sections() == ["Unit", "Service", "Install"]
    return found["Service"]


def test_the_unit_starts_what_there_is_and_waits_for_the_drain() -> None:
    service = unit()
    program, *arguments = shlex.split(service["ExecStart"])

    assert program == "/opt/hotswap/bin/hotswap"
    assert cli.parser().parse_args(arguments).config == Path("/etc/hotswap/config.toml")
    assert int(service["TimeoutStopSec"]) >= ServerConfig().drain_s + 10
    assert service["RestartPreventExitStatus"] == "2"
    assert service["KillMode"] == "mixed"


def test_the_unit_may_write_its_cache_and_state_alone() -> None:
    service = unit()

    assert service["User"] != "root"
    assert service["NoNewPrivileges"] == service["ProtectHome"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert "ReadWritePaths" not in service
    # oneDNN's kernels are written when they are first asked for.
    assert "MemoryDenyWriteExecute" not in service


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/hotswap/bin/hotswap", "/bin/true")
    copy.write_text(text.replace("User=hotswap", "User=daemon"))

    done = subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert UNIT.name not in done.stderr


def routes(pattern: str) -> set[str]:
    """All that a pattern of nginx's stands for."""
    inner = re.fullmatch(r"\^/\((.*)\)\$", pattern)
    assert inner
    plain = inner[1].replace("(chat/)?completions", "completions|v1/chat/completions")
    return {f"/{each}" for each in plain.split("|")}


def test_the_proxies_let_the_same_routes_through_and_none_that_manages() -> None:
    (pattern,) = re.findall(r"location ~ (\S+) ", NGINX.read_text())
    (paths,) = re.findall(r"@generates path (.*)", CADDY.read_text())

    let_through = routes(pattern)
    assert let_through == set(paths.split())
    assert let_through <= {p for part in PARTS for r in part.ROUTES for p in r.paths}
    assert not [r for r in let_through if re.search("adapter|status|metrics|event", r)]


def test_the_proxies_do_not_buffer_and_wait_as_long_as_it_takes() -> None:
    nginx, caddy = NGINX.read_text(), CADDY.read_text()

    assert "proxy_buffering off;" in nginx
    assert "flush_interval -1" in caddy
    assert seconds("keepalive_timeout", nginx) < LIMITS.idle_s
    assert seconds("keepalive", caddy) < LIMITS.idle_s
    assert seconds("proxy_read_timeout", nginx) > LIMITS.idle_s
    assert seconds("response_header_timeout", caddy) > LIMITS.idle_s
    assert "X-Request-Id $hotswap_request_id" in nginx
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m", nginx)
    assert int(megabytes) << 20 >= LIMITS.body_bytes
    (megabytes,) = re.findall(r"max_size (\d+)MB", caddy)
    assert int(megabytes) * 10**6 >= LIMITS.body_bytes


@pytest.mark.skipif(PROGRAM is None, reason="no nginx here")
@pytest.mark.parametrize("example", [NGINX, FLEET], ids=lambda path: path.name)
def test_nginx_reads_its_examples(example: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.conf"
    whole.write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\n"
        f"http {{ access_log off; {temporary_paths(tmp_path)} include {example}; }}\n"
    )
    done = subprocess.run(
        [str(PROGRAM), "-t", "-p", tmp_path, "-e", "stderr", "-c", whole],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_two_examples_of_nginx_let_the_same_through() -> None:
    """Lines of the location, but for who is asked next."""
    one, many = (
        set(re.findall(r"^ {4,8}(?!listen)\S.*;", path.read_text(), re.M))
        for path in (NGINX, FLEET)
    )

    alone = {line.strip() for line in one - many}
    assert alone == {"server 127.0.0.1:8080;"}


@pytest.mark.skipif(not shutil.which("caddy"), reason="no Caddy here")
def test_caddy_reads_its_example(tmp_path: Path) -> None:
    done = subprocess.run(
        ["caddy", "validate", "--adapter", "caddyfile", "--config", CADDY],
        env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
