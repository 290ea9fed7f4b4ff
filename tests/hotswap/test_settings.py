"""Whatever a config says, it is served or refused by the setting that is at fault."""

import dataclasses
import json
import random
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import CONFIG_FILE
from hotswap.adapters.generation import Generation
from hotswap.adapters.layout import Layout
from hotswap.errors import AdapterRefused
from tests import tiny
from tests.formats import FORMATS
from tests.hotswap.test_parity import make_runner
from tests.peft_format import Format

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes adapters

HOSTILE: list[Any] = [
    *(True, False, None, 0, 1, -1, 7, 10**9, 10**30, 2**63 - 1),
    *(0.5, -1.5, float("nan"), 1e308),
    *("", "x", "é\x00☃", r"(\w+)+$", "x" * 10_000),
    *([], ["x"], [-1], [10**9], [[1, 2]], [True, "x", 1.5]),
    *({}, {"x": 1}, {"x": -1}, {"é": {"y": []}}, {"q_proj": 10**9}),
]
# One of each type, and some that make other layers of the same type
ALSO = ("DoRA", "trainable_token_indices", "embedding")


@dataclasses.dataclass(frozen=True)
class Base:
    """A folder that is served as it is."""

    folder: Path
    config: dict[str, Any]
    layout: Layout


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Base]:
    root = tmp_path_factory.mktemp("bases")
    layouts: dict[tuple[str, bool], Layout] = {}
    made: dict[str, Base] = {}
    for given in FORMATS:
        kind = str(given.config(["q_proj"]).peft_type.value)
        name = given.name if given.name in ALSO else kind
        if name not in made:
            place = (given.architecture, given.tied)
            if place not in layouts:
                layouts[place] = make_runner(place[0], tied=place[1]).layout
            made[name] = _written(given, root / name, layouts[place])
    return made


def _written(given: Format, folder: Path, layout: Layout) -> Base:
    given.write(folder)
    return Base(folder, json.loads((folder / CONFIG_FILE).read_text()), layout)


def grid(bases: dict[str, Base]) -> Iterator[tuple[str, str, Any]]:
    for name, base in bases.items():
        kind = PEFT_TYPE_TO_CONFIG_MAPPING[base.config["peft_type"]]
        for field in (*(f.name for f in dataclasses.fields(kind)), "of_tomorrow"):
            for value in HOSTILE:
                yield name, field, value


def check(base: Base, field: str, value: Any) -> None:
    """Served, or refused by name; in time, and in bounded memory."""
    config = {**base.config, field: value}
    (base.folder / CONFIG_FILE).write_text(json.dumps(config))
    start, memory = time.process_time(), peak()

    refused = refusal(base)

    # What says nothing or is the default is no fault; it may be missed.
    if refused is not None and value not in (None, False, []):
        assert field in refused.reason
    assert refused is None or refused.code != "unexpected", refused.reason
    assert refused is None or len(refused.reason) < 1100
    assert time.process_time() - start < 5
    assert peak() - memory < 300 << 10  # KiB


def refusal(base: Base) -> AdapterRefused | None:
    try:
        assert isinstance(read(base.folder, base.layout), Generation)
    except AdapterRefused as refused:
        return refused
    return None


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_any_value_of_any_setting_is_served_or_refused_by_name(
    bases: dict[str, Base],
) -> None:
    cases = list(grid(bases))
    for name, field, value in random.Random(0).sample(cases, 300):
        check(bases[name], field, value)


@pytest.mark.slow
def test_every_setting_of_every_type_is_served_or_refused_by_name(
    bases: dict[str, Base],
) -> None:
    """Each value and each setting, but not each with each: that takes minutes."""
    cases = list(grid(bases))
    assert len(bases) >= 33
    assert len(HOSTILE) % 7
    for name, field, value in cases[::7]:
        check(bases[name], field, value)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        # Each of these once ended in a traceback.
        ("ADALORA", "rank_pattern", {"model.layers.9.self_attn.q_proj": [True] * 4}),
        ("ADALORA", "rank_pattern", {"zz.lora_E": [True]}),
        ("LORA", "trainable_token_indices", ["x"]),
        ("LORA", "exclude_modules", True),
        ("LORA", "layers_to_transform", "x"),
        ("LORA", "layers_pattern", {"x": 1}),
    ],
)
def test_a_value_that_peft_stumbles_on_is_refused_with_its_setting(
    name: str, field: str, value: Any, bases: dict[str, Base]
) -> None:
    base = bases[name]
    (base.folder / CONFIG_FILE).write_text(json.dumps({**base.config, field: value}))

    with pytest.raises(AdapterRefused, match=field) as refused:
        read(base.folder, base.layout)

    assert refused.value.code == "bad_config"


@pytest.fixture
def folder(bases: dict[str, Base], tmp_path: Path) -> Path:
    (bases["LORA"].folder / CONFIG_FILE).write_text(json.dumps(bases["LORA"].config))
    return shutil.copytree(bases["LORA"].folder, tmp_path / "copy")


def say(folder: Path, **fields: Any) -> None:
    held = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps({**held, **fields}))


@pytest.mark.parametrize("value", [True, 16, 0.5, "x", ["x"], {"x": None}])
def test_a_setting_that_peft_does_not_know_is_refused_if_it_says_something(
    value: object, folder: Path, bases: dict[str, Base]
) -> None:
    say(folder, of_tomorrow=value)

    with pytest.raises(AdapterRefused, match=r"'of_tomorrow'=.*take it out") as refused:
        read(folder, bases["LORA"].layout)

    assert refused.value.code == "unknown_setting"


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
def test_and_passes_if_it_says_nothing(
    value: object, folder: Path, bases: dict[str, Base]
) -> None:
    say(folder, of_tomorrow=value, peft_version="99.0", unsloth_fixed=True)

    assert read(folder, bases["LORA"].layout).warnings == ()


def test_null_is_as_good_as_absent(folder: Path, bases: dict[str, Base]) -> None:
    say(folder, bias=None, use_dora=None, rank_pattern=None, lora_dropout=None)

    assert read(folder, bases["LORA"].layout).can_mix


def test_every_setting_that_peft_saves_is_known(
    tmp_path: Path, bases: dict[str, Base]
) -> None:
    """What PEFT's own defaults say is never refused."""
    tiny.save_adapter(tmp_path, "llama", seed=1)

    assert read(tmp_path, bases["LORA"].layout).warnings == ()
