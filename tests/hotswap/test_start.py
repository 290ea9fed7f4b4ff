"""What can end a start is said in one line, before anything heavy is loaded."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hotswap import __version__, port
from hotswap.api.shared.endpoints import ENDPOINTS_FILE
from hotswap.commands.serve_flags import GROUPS
from hotswap.errors import StartFailed
from hotswap.library.journal import JOURNAL_FILE
from hotswap.library.lock import locked
from hotswap.start import ready
from tests.servers import free_port, settings

HEAVY = ("torch", "transformers", "peft", "litestar", "uvicorn", "numpy")

# Runs the command line on each list of arguments, in one process: what it wrote and
# its status, and which heavy libraries were there after all of them.
SCRIPT = f"""
import contextlib, io, json, sys, time
begun = time.perf_counter()
from hotswap import cli
told = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["hotswap", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as ended:
            told.append([ended.code, out.getvalue(), err.getvalue()])
seconds = time.perf_counter() - begun
print(json.dumps([told, seconds, [m for m in {HEAVY} if m in sys.modules]]))
"""


def light(*commands: list[str], **environment: str) -> list[tuple[int, str, str]]:
    """Status, stdout and stderr of each; nothing heavy was loaded for any."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
    )
    told, seconds, heavy = json.loads(done.stdout)
    assert not heavy
    assert seconds < 5, "half a second, where the machine has nothing else to do"
    return [tuple(each) for each in told]


def test_help_the_version_and_a_wrong_flag_need_nothing_heavy() -> None:
    about, serve, version, wrong, none = light(
        ["--help"],
        ["serve", "--help"],
        ["--version"],
        ["serve", "--prot", "1"],
        ["sevre"],
    )

    assert about[0] == 0
    for command in ("serve", "check", "status", "adapters"):
        assert command in about[1]
    for group in GROUPS.values():
        assert f"\n{group}:\n" in serve[1]
    assert version == (0, f"hotswap {__version__}\n", "")
    assert wrong[0] == none[0] == 2
    assert "--prot" in wrong[2]


def test_what_is_wrong_is_said_in_one_line_before_anything_heavy_is_loaded(
    model_folder: Path, tmp_path: Path
) -> None:
    broken = {"journal": JOURNAL_FILE, "endpoints": ENDPOINTS_FILE}
    for name, file in broken.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text('{"a": {"ori')  # cut off
    (tmp_path / "model.gguf").write_bytes(b"no magic")
    (tmp_path / "empty").mkdir()
    toml = tmp_path / "wrong.toml"
    toml.write_text("[server]\nprot = 1")
    roots = tmp_path / "roots.toml"
    roots.write_text('[adapters]\nroots = ["/no/such/root"]')
    many = tmp_path / "many.toml"
    many.write_text("[limits]\nconnections = 1000000000")
    hooks = tmp_path / "hooks.toml"
    hooks.write_text('[hooks]\nmodule = "no_such_module.hooks"')
    model = str(model_folder)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        wrong = {
            "/no/such/model": ["serve", "/no/such/model"],
            "a/b/c": ["serve", "a/b/c"],
            "no-such-model": ["serve", "no-such-model"],
            "no such file": ["serve", str(tmp_path / "none.gguf")],
            "is no GGUF": ["serve", str(tmp_path / "model.gguf")],
            "no config.json": ["serve", str(tmp_path / "empty")],
            "no model": ["serve"],
            "/no/such.toml": ["serve", model, "--config", "/no/such.toml"],
            "prot": ["serve", model, "--config", str(toml)],
            "/no/such/root": ["serve", model, "--config", str(roots)],
            "limits.connections: 1000000000": ["serve", model, "--config", str(many)],
            "no_such_module": ["serve", model, "--config", str(hooks)],
            "/no/such/dir": ["serve", model, "--adapters", "/no/such/dir"],
            JOURNAL_FILE: ["serve", model, "--adapters", str(tmp_path / "journal")],
            ENDPOINTS_FILE: ["serve", model, "--adapters", str(tmp_path / "endpoints")],
            "model.device": ["serve", model, "--device", "abacus"],
            "model.dtype": ["serve", model, "--dtype", "int8"],
            "server.port": ["serve", model, "--port", "65536"],
            taken: ["serve", model, "--port", taken],
            "no.such.host": ["serve", model, "--host", "no.such.host."],
            "/no/such/base": ["check", "x", "--model", "/no/such/base"],
        }

        told = light(*wrong.values())

    for named, (status, out, err) in zip(wrong, told, strict=True):
        assert (status, out) == (2, ""), named
        (line,) = err.splitlines()
        assert line.startswith("hotswap: ")
        assert named in line


@contextmanager
def listening(made: list[socket.socket]) -> Iterator[None]:
    for each in made:
        each.listen()
    port.leave_to_next(made)
    yield


def test_a_bound_port_is_ours_while_the_model_loads_and_no_client_waits_at_it() -> None:
    (made,) = port.bind("127.0.0.1", free_port())
    number = made.getsockname()[1]

    with made:
        with pytest.raises(StartFailed, match=str(number)):
            port.bind("127.0.0.1", number)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", number))
        with listening([made]), pytest.raises(StartFailed, match=str(number)):
            port.bind("127.0.0.1", number)


def test_a_server_takes_the_port_of_one_that_has_just_ended() -> None:
    (made,) = port.bind("127.0.0.1", 0)
    with made, listening([made]):
        number = made.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", number))
        connection, _ = made.accept()
        connection.close()  # first: its end is the one that stays for a minute
        client.recv(1)
        client.close()

    (again,) = port.bind("127.0.0.1", number)
    again.close()


def test_every_address_of_a_host_is_bound_that_this_machine_has() -> None:
    made = port.bind("localhost", free_port())

    assert "127.0.0.1" in [each.getsockname()[0] for each in made]
    assert {port.url(each) for each in made} <= {
        f"http://{host}:{made[0].getsockname()[1]}" for host in ("127.0.0.1", "[::1]")
    }
    for each in made:
        each.close()


def test_an_adapters_directory_has_one_server(
    model_folder: Path, tmp_path: Path
) -> None:
    chosen = settings(model_folder, tmp_path, server={"port": 0})

    with ready(chosen):
        with (
            pytest.raises(StartFailed, match="another server") as failed,
            ready(chosen),
        ):
            pass
        assert str(tmp_path) in str(failed.value)
    with ready(chosen):
        assert list(tmp_path.iterdir()) == []
    without = settings(
        model_folder, tmp_path, lora={"enable_lora": False}, server={"port": 0}
    )
    with locked(tmp_path), ready(without):
        pass  # it does not look at the directory


def test_a_lock_goes_with_its_process_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from hotswap.library.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n print(flush=True)\n sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StartFailed), locked(tmp_path):
            pass
        other.kill()

    with locked(tmp_path):
        pass


def test_a_directory_that_cannot_be_locked_is_served_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)

    with locked(tmp_path), locked(tmp_path):
        pass


@pytest.mark.parametrize(
    ("adapters", "named"),
    [
        ({"sources": ["s3://*"]}, "adapters.sources"),
        ({"directory": "s3://"}, "adapters.directory"),
        ({"directory": "s3://key:secret@bucket/a"}, "adapters.directory"),
    ],
)
def test_a_url_that_could_not_be_meant_ends_the_start(
    model_folder: Path, tmp_path: Path, adapters: dict[str, object], named: str
) -> None:
    chosen = settings(model_folder, tmp_path, adapters=adapters, server={"port": 0})

    with pytest.raises(StartFailed, match=named) as failed, ready(chosen):
        pass

    assert "secret" not in str(failed.value)
