"""nginx for tests: the machine's own, or Debian's as `make nginx` unpacks it."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.servers import NO_TLS, free_port, wait_until

ROOT = Path(__file__).parent.parent
_UNPACKED = ROOT / "build" / "nginx" / "usr" / "sbin" / "nginx"
NGINX = shutil.which("nginx") or (str(_UNPACKED) if _UNPACKED.exists() else None)
_TEMPORARY = ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")


def temporary_paths(folder: Path) -> str:
    return " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in _TEMPORARY)


@contextmanager
def before(config: Path, ports: Sequence[int], folder: Path) -> Iterator[str]:
    """nginx with our example in front of servers on these ports; its URL. Answers say
    in `x-upstream` who was asked. Paths and ports are all that is changed."""
    assert NGINX is not None
    port, text = free_port(), config.read_text()
    told = re.findall(r"server 127.0.0.1:(\d+)", text)
    assert len(told) == len(ports)
    for old, new in zip(told, ports, strict=True):
        text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
    (folder / "example.conf").write_text(text.replace("listen 80;", f"listen {port};"))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid;\nevents {{}}\n"
        f"http {{ access_log off; {temporary_paths(folder)}\n"
        f"add_header x-upstream $upstream_addr always; include example.conf; }}\n"
    )
    command: list[str | Path] = [
        NGINX,
        "-p",
        folder,
        "-e",
        "stderr",
        "-c",
        "nginx.conf",
    ]
    with (folder / "log").open("w") as log:
        nginx = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        assert nginx.poll() is None, (folder / "log").read_text()
        try:
            return httpx.get(url, verify=NO_TLS).status_code == 404
        except httpx.ConnectError:
            return False

    try:
        wait_until(is_up)
        yield url
    finally:
        nginx.terminate()
        nginx.wait(20)
