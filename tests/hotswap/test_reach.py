"""A server that others can reach does not start for anybody to manage."""

from pathlib import Path

import pytest

from hotswap import cli, config
from hotswap.commands.flag import set_keys
from hotswap.errors import StartFailed
from hotswap.keys import key_file
from hotswap.keys.access_key import made
from hotswap.server_options import ServerConfig
from hotswap.start import ready
from tests.servers import settings

CHOSEN = "correct-horse-battery"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOTSWAP_API_KEYS", "HOTSWAP_ADMIN_KEYS"):
        monkeypatch.delenv(variable, raising=False)


def start(model: Path, directory: Path, **server: object) -> None:
    with ready(settings(model, directory, server={"port": 0, **server})):
        pass


def key_at(path: Path, *, is_admin: bool) -> str:
    key_file.append(path, made(None, is_admin=is_admin)[0])
    return str(path)


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_beyond_this_machine_it_takes_an_admin_key_or_the_word_that_it_takes_none(
    host: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "adapters"
    directory.mkdir()
    api = key_at(tmp_path / "api", is_admin=False)
    admin = key_at(tmp_path / "admin", is_admin=True)
    empty = tmp_path / "empty"
    empty.touch(0o600)

    for server in ({}, {"api_keys": api}, {"admin_keys": str(empty)}):
        with pytest.raises(StartFailed, match="no admin key") as failed:
            start(model_folder, directory, host=host, **server)
        said = str(failed.value)
        for way in ("hotswap key new --admin", "HOTSWAP_ADMIN_KEYS", "--allow-anyone"):
            assert way in said
        assert "\n" not in said
    start(model_folder, directory, host=host, admin_keys=admin)
    start(model_folder, directory, host=host, allow_anyone=True)
    monkeypatch.setenv("HOTSWAP_API_KEYS", CHOSEN)
    with pytest.raises(StartFailed, match="no admin key"):
        start(model_folder, directory, host=host)
    monkeypatch.setenv("HOTSWAP_ADMIN_KEYS", f"{CHOSEN}-too")
    start(model_folder, directory, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
def test_on_this_machine_it_takes_none(
    host: str, model_folder: Path, tmp_path: Path
) -> None:
    start(model_folder, tmp_path, host=host)


@pytest.mark.parametrize("option", ["api_keys", "admin_keys"])
def test_a_file_of_keys_that_is_not_there_ends_the_start(
    option: str, model_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(StartFailed, match="No such file"):
        start(model_folder, tmp_path, **{option: str(tmp_path / "none")})


def test_the_command_line_says_it_all() -> None:
    line = "serve m --host 0.0.0.0 --api-keys a --admin-keys b --tls-cert c --tls-key d"

    def server(line: str) -> ServerConfig:
        return config.load(None, set_keys(cli.parser().parse_args(line.split()))).server

    said, silent = server(f"{line} --allow-anyone"), server("serve m")

    files = (said.api_keys, said.admin_keys, said.tls_cert, said.tls_key)
    assert (said.host, *files) == ("0.0.0.0", "a", "b", "c", "d")
    assert said.allow_anyone
    assert not silent.allow_anyone
