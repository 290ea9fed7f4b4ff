"""Whatever is wrong with file or flags ends the start with one line that names it."""

from pathlib import Path
from typing import Any

import pytest

from hotswap import cli, config, config_docs
from hotswap.commands.flag import set_keys
from hotswap.commands.serve_flags import FLAGS, GROUPS
from hotswap.errors import StartFailed
from scheduler import POLICIES

ROOT = Path(__file__).parents[2]
BAD_VALUES = {
    "an unknown section": ("[sever]\nport = 1", "sever"),
    "an unknown key": ("[server]\nprot = 1", "prot"),
    "a section that is no table": ("server = 3", "server"),
    "a port too large": ("[server]\nport = 65536", "server.port"),
    "a port in words": ('[server]\nport = "http"', "server.port"),
    "a drain without end": ("[server]\ndrain_s = inf", "server.drain_s"),
    "a drain below zero": ("[server]\ndrain_s = -1", "server.drain_s"),
    "an unknown dtype": ('[model]\ndtype = "int8"', "model.dtype"),
    "no slot": ("[memory]\nslots = 0", "memory.slots"),
    "slots in words": ('[memory]\nslots = "many"', "memory.slots"),
    "no memory": ("[memory]\nbudget_gb = 0", "memory.budget_gb"),
    "memory without end": ("[memory]\nbudget_gb = inf", "memory.budget_gb"),
    "KV of half a token": ("[memory]\nkv_tokens = 0.5", "memory.kv_tokens"),
    "quiet not a number": ("[adapters]\nquiet_s = nan", "adapters.quiet_s"),
    "quiet of no time": ("[adapters]\nquiet_s = 0", "adapters.quiet_s"),
    "an unknown policy": ('[schedule]\npolicy = "best"', "schedule.policy"),
    "a batch that is true": ("[schedule]\nmax_batch = true", "schedule.max_batch"),
    "a wait without end": ("[schedule]\npatience_s = inf", "schedule.patience_s"),
    "an unknown form of the log": ('[log]\nformat = "xml"', "log.format"),
    "an unknown level": ('[log]\nlevel = "loud"', "log.level"),
    "a key by its old name": ("[schedule]\nmax_wait_s = 2.0", "schedule.patience_s"),
}


def refusal(path: Path | None, flags: dict[str, dict[str, Any]]) -> str:
    with pytest.raises(StartFailed) as failed:
        config.load(path, flags)
    return str(failed.value)


@pytest.mark.parametrize(("text", "named"), BAD_VALUES.values(), ids=list(BAD_VALUES))
def test_a_bad_line_of_the_file_is_refused_in_one_line_that_names_it(
    text: str, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "hotswap.toml"
    path.write_text(text)

    said = refusal(path, {})

    assert named in said
    assert str(path) in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "content",
    [b"[server", b"port 80", b"\xff\xfe", b"[model]\nx=1\nx=2", b"a=" + b"[" * 99999],
)
def test_a_file_that_is_not_toml_is_refused_in_one_line(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "hotswap.toml"
    path.write_bytes(content)

    said = refusal(path, {})

    assert str(path) in said
    assert "\n" not in said


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    missing = refusal(tmp_path / "none.toml", {})
    folder = refusal(tmp_path, {})

    assert missing == f"config {tmp_path / 'none.toml'}: No such file or directory"
    assert folder == f"config {tmp_path}: Is a directory"


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("server", "port", -1), ("model", "dtype", "int8"), ("server", "prot", 1)],
)
def test_a_bad_flag_is_named(section: str, key: str, value: object) -> None:
    said = refusal(None, {section: {key: value}})

    assert section in said
    assert key in said


def test_a_flag_wins_over_the_file_and_an_absent_flag_does_not(tmp_path: Path) -> None:
    path = tmp_path / "hotswap.toml"
    path.write_text('[server]\nport = 1\nhost = "0.0.0.0"\n[schedule]\nmax_batch = 3')
    flags: dict[str, dict[str, Any]] = {
        "server": {"port": 2, "host": None},
        "model": {"path": "here"},
    }

    found = config.load(path, flags)

    assert (found.server.port, found.server.host) == (2, "0.0.0.0")
    assert found.model.path == "here"
    assert found.schedule.max_batch == 3
    assert found.schedule.policy == config.ScheduleConfig().policy


def test_without_file_and_flags_everything_has_its_default() -> None:
    assert config.load(None, {}) == config.Config()


def test_every_served_model_name_of_the_command_line_is_kept_in_order() -> None:
    line = "serve m --served-model-name a org/b:v1 --port 1 --served-model-name c"

    flags = set_keys(cli.parser().parse_args(line.split()))

    names = config.load(None, flags).server.served_model_names
    assert names == ("a", "org/b:v1", "c")


def test_a_key_by_its_old_name_is_told_the_new_one_and_how_to_convert() -> None:
    said = refusal(None, {"schedule": {"max_wait_s": 2.0}})

    assert said == (
        "config flags: schedule.max_wait_s is now schedule.patience_s, half of what "
        "max_wait_s was"
    )


def test_a_policy_that_is_not_there_is_told_which_are() -> None:
    said = refusal(None, {"schedule": {"policy": "vtc"}})

    for name in POLICIES:
        assert config.load(None, {"schedule": {"policy": name}}).schedule.policy == name
        assert name in said


def test_every_flag_that_sets_a_key_sets_one_that_is_there() -> None:
    keys = {
        f"{section}.{key}"
        for section in config.Config.__struct_fields__
        for key in getattr(config.Config(), section).__struct_fields__
    }

    assert FLAGS.keys() <= keys
    assert {key.partition(".")[0] for key in FLAGS} == GROUPS.keys()


@pytest.mark.parametrize(
    ("file", "made"),
    [
        (config_docs.PAGE, config_docs.page),
        (config_docs.DEFAULTS, config_docs.defaults),
    ],
    ids=["docs/configuration.md", "configs/default.toml"],
)
def test_what_is_made_from_the_structs_says_what_they_say(
    file: Path, made: Any
) -> None:
    text = (ROOT / file).read_text()

    assert text == made(), "run: python -m hotswap.config_docs"


def test_the_file_of_defaults_says_what_is_the_default() -> None:
    assert config.load(ROOT / config_docs.DEFAULTS, {}) == config.Config()


def test_a_new_key_is_a_row_of_the_page_and_a_line_of_the_file() -> None:
    (port,) = [key for key in config_docs.keys("server") if key.name == "port"]
    (quiet,) = [key for key in config_docs.keys("adapters") if key.name == "quiet_s"]
    (most,) = [key for key in config_docs.keys("lora") if key.name == "max_loras"]

    assert port.type == "integer >= 0, <= 65535"
    assert (port.default, port.flag) == ("8080", "--port PORT")
    assert quiet.meaning.startswith("A folder is read when its files have not changed")
    assert (most.type, most.default) == ("integer >= 1 or `auto`", '"auto"')
    assert most.variable == "OPTION_MAX_LORAS"
