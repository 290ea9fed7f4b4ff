"""A model.py is found, run, and called as DJL calls it; a bad one ends the start."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotswap.adapters.origin import Origin
from hotswap.errors import NoRoom, StartFailed, Vetoed
from hotswap.handler import generate
from hotswap.handler.djl_handler import DjlHandler, load
from hotswap.handler.runner import Runner
from hotswap.library import hooks
from hotswap.library.hooks import Hooks

ORIGIN = Origin(src="here", alias="Pirate", pin=True, options={"owner": "me"})


@pytest.fixture(autouse=True)
def same_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.MonkeyPatch.context() as modules:
        for name in [n for n in sys.modules if n.partition(".")[0] == "djl_python"]:
            modules.delitem(sys.modules, name)
        yield


def made(folder: Path, source: str, adapters: Path | None = None) -> DjlHandler:
    path = folder / "model.py"
    path.write_text(source)
    told = {"model_id": "m"}
    return load(str(path), adapters=adapters, runner=Runner(), properties=told)


def test_it_is_told_of_an_adapter_as_djl_tells_it(tmp_path: Path) -> None:
    handler = made(
        tmp_path,
        """
from djl_python import Input, Output
def register_adapter(inputs):
    content = {k: inputs.get_as_string(k) for k in inputs.get_content().get_keys()}
    told = inputs.get_function_name(), inputs.get_properties(), content
    return Output(message=repr(told))
unregister_adapter = register_adapter
""",
    )
    known = {"model_id": "m", "model_dir": str(tmp_path)}

    came = handler.tell("register_adapter", "a", ORIGIN).result(10)
    went = handler.tell("unregister_adapter", "a", ORIGIN).result(10)

    named = {"name": "a", "alias": "Pirate"}
    said = {"handler": "register_adapter", **known, **named, "src": "here"}
    content = {"name": "a", "src": "here", "owner": "me", "pin": "true"}
    assert came == repr(("register_adapter", said, content))
    said = {"handler": "unregister_adapter", **known, **named}
    assert went == repr(("unregister_adapter", said, {}))


@pytest.mark.parametrize(
    ("returns", "error", "message"),
    [
        ("Output(code=424, message='no')", Vetoed, "no"),
        ("Output(code=300, message='')", Vetoed, "register_adapter says 300"),
        ("Output(code=507, message='full')", NoRoom, "full"),
        ("5", Vetoed, "Invalid output type: <class 'int'>"),
        ("1 / 0", Vetoed, "division by zero"),
        ("exit('x')", Vetoed, "x"),
    ],
)
def test_it_refuses(
    returns: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    source = "from djl_python import Output\n"
    source += f"def register_adapter(inputs): return {returns}"
    handler = made(tmp_path, source)

    with pytest.raises(error) as refused:
        handler.tell("register_adapter", "a", ORIGIN).result(10)

    assert str(refused.value) == message


def test_nothing_returned_agrees(tmp_path: Path) -> None:
    handler = made(tmp_path, "def register_adapter(inputs): pass")

    assert handler.tell("register_adapter", "a", ORIGIN).result(10) is None
    assert not handler.answers
    assert Hooks(handler=handler).handler is None


def test_its_neighbours_can_be_imported_and_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("def handle(inputs): pass")
    (tmp_path / "json.py").write_text("raise RuntimeError('it hides the library')")

    handler = made(tmp_path, "import csv, json\nfrom beside_it import handle")

    assert handler.answers


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("x = 1", "it has none of handle, register_adapter"),
        ("import djl_python.huggingface", "djl_python.huggingface"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_bad_file_ends_the_start_in_one_line(
    source: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(StartFailed) as failed:
        made(tmp_path, source)

    assert named in str(failed.value)
    assert str(tmp_path / "model.py") in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("return None", None),
        ("return Output().add('x')", None),
        ("return Output().error('no weights')", "invoke handler failure"),
        ("raise ValueError('no\\nweights')", "no weights"),
        ("raise SystemExit(3)", "3"),
        ("return generate('x')", "within `handle`, for a request"),
    ],
)
def test_it_is_called_with_an_empty_input_at_the_start(
    body: str, named: str | None, tmp_path: Path
) -> None:
    source = "from djl_python import Output\nfrom hotswap.handler import generate\n"
    source += f"def handle(inputs):\n    assert inputs.is_empty()\n    {body}"
    handler = made(tmp_path, source)

    if named is None:
        handler.initialise()
        return
    with pytest.raises(StartFailed) as failed:
        handler.initialise()
    assert named in str(failed.value)
    assert "\n" not in str(failed.value)


def test_code_in_an_adapters_folder_is_never_run(tmp_path: Path) -> None:
    evil = "raise SystemExit('it ran')"
    inside, alone = tmp_path / "adapters" / "evil", tmp_path / "alone"
    for folder in (inside, alone):
        folder.mkdir(parents=True)
    (alone / "adapter_config.json").write_text("{}")

    for folder in (inside, alone):
        with pytest.raises(StartFailed, match="never run"):
            made(folder, evil, tmp_path / "adapters")


def test_a_function_of_both_the_hooks_and_the_handler_ends_the_start(
    tmp_path: Path,
) -> None:
    handler = made(tmp_path, "def register_adapter(inputs): pass")
    module = tmp_path / "own.py"
    module.write_text("def register_adapter(**_): pass")

    with pytest.raises(StartFailed, match="the handler has a register_adapter, too"):
        hooks.load(str(module), None, handler=handler)


def test_hooks_beside_it_keep_theirs(tmp_path: Path) -> None:
    source = "from djl_python import Output\n"
    source += "def register_adapter(inputs): return Output(message='by the handler')"
    handler = made(tmp_path, source)
    module = tmp_path / "own.py"
    module.write_text("def unregister_adapter(name): raise ValueError('by the hooks')")

    both = hooks.load(str(module), None, handler=handler)

    assert both.register("a", ORIGIN).result(10) == "by the handler"
    with pytest.raises(Vetoed, match="by the hooks"):
        both.unregister("a", ORIGIN).result(10)


def test_the_model_is_not_asked_outside_of_a_request() -> None:
    with pytest.raises(RuntimeError, match="within `handle`"):
        generate("x")
