"""Who wins: the order of docs/serving-properties.md, level by level."""

import re
from pathlib import Path
from typing import Any

import pytest

from hotswap import cli
from hotswap.commands.flag import set_keys
from hotswap.config import Config
from hotswap.djl_config.model_store import SAGEMAKER_STORE
from tests.hotswap.djl_config.folders import djl_folder, started
from tests.pages import ROOT

# The page's words for each level, from the top, and what says what there.
LEVELS = {
    "a flag of the command line": {"dtype": "float32", "adapters": "flag"},
    "the TOML file of `--config`": {"dtype": "bfloat16", "adapters": "toml"},
    "`serving.properties`": {"dtype": "fp16", "adapters": "properties"},
    "`OPTION_...` and `SERVING_...` of the environment": {
        "dtype": "fp32",
        "adapters": "variable",
    },
    "variables by other names": {},
    "the default": {},
}
FLAG, TOML, PROPERTIES, VARIABLES, OTHERS, DEFAULT = LEVELS


def config_with(levels: list[str], root: Path) -> Config:
    """What `hotswap serve FOLDER` makes of it if these levels say something."""
    said = {name: LEVELS[name] for name in levels}
    lines, queue = [], ""
    if PROPERTIES in said:
        lines = [f"option.{key}={text}" for key, text in said[PROPERTIES].items()]
        queue = "\njob_queue_size=300"
    folder = djl_folder(root / "llama", "\n".join(lines) + queue, "config.json")
    flags: dict[str, dict[str, Any]] = {}
    if FLAG in said:
        line = ["serve", str(folder), "--dtype", "float32", "--adapters", "flag"]
        flags = set_keys(cli.parser().parse_args(line))
    toml = None
    if TOML in said:
        toml = root / "hotswap.toml"
        toml.write_text(
            '[model]\ndtype = "bfloat16"\n[adapters]\ndirectory = "toml"\n'
            "[schedule]\nmax_waiting = 200"
        )
    environment = {}
    if VARIABLES in said:
        options = said[VARIABLES].items()
        environment = {f"OPTION_{key.upper()}": text for key, text in options}
        environment["SERVING_JOB_QUEUE_SIZE"] = "400"
    if OTHERS in said:
        environment["MAX_CONCURRENT_REQUESTS"] = "500"
    return started(folder, environment, flags=flags, toml=toml).config


# With every level from this one down: the type, the directory and the queue.
FROM = {
    FLAG: ("float32", "flag", 200),  # of the queue there is no flag
    TOML: ("bfloat16", "toml", 200),
    PROPERTIES: ("float16", "llama/properties", 300),
    VARIABLES: ("float32", "llama/variable", 400),
    OTHERS: ("auto", "", 500),
    DEFAULT: ("auto", "", Config().schedule.max_waiting),
}


@pytest.mark.parametrize("top", LEVELS)
def test_the_first_that_says_something_counts(top: str, tmp_path: Path) -> None:
    order = list(LEVELS)

    found = config_with(order[order.index(top) :], tmp_path)

    directory = found.adapters.directory.removeprefix(f"{tmp_path}/")
    assert (found.model.dtype, directory, found.schedule.max_waiting) == FROM[top]


def test_the_page_has_the_same_order() -> None:
    page = (ROOT / "docs" / "serving-properties.md").read_text()
    (section,) = re.findall(r"^## Who wins\n(.*?)^## ", page, re.S | re.M)

    rows = re.findall(r"^\| (.+?) \|", section, re.M)

    assert rows[1:] == list(LEVELS)


def test_what_the_environment_says_with_the_model_is_above_its_properties(
    tmp_path: Path,
) -> None:
    """As in DJL: the engine and the devices of SERVING_LOAD_MODELS are the model's."""
    folder = djl_folder(tmp_path / "llama", "load_on_devices=1", "config.json")

    found = started(None, {"SERVING_LOAD_MODELS": f"[m::Python:-1]={folder}"})

    assert found.config.model.device == "cpu"


def test_sagemakers_folder_is_looked_at_by_the_command_alone(tmp_path: Path) -> None:
    djl_folder(tmp_path, "engine=Python", "config.json")

    assert Path("/opt/ml/model") == SAGEMAKER_STORE
    assert not started(None).config.model.path
    assert started(None, store=tmp_path).config.model.path == str(tmp_path)
