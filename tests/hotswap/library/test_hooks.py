"""Hooks: the operator's functions see every change before it happens, and may veto."""

from pathlib import Path

import pytest

from hotswap.adapters.origin import Origin
from hotswap.errors import NoRoom, StartFailed, Vetoed
from hotswap.library import hooks
from hotswap.library.hooks import Hooks

ORIGIN = Origin(src="here", alias="Pirate", options={"owner": "me"})


def write(folder: Path, source: str) -> str:
    path = folder / "my_hooks.py"
    path.write_text(source)
    return str(path)


def refusal(module: str, adapters: Path | None = None) -> str:
    with pytest.raises(StartFailed) as failed:
        hooks.load(module, adapters)
    said = str(failed.value)
    assert module in said
    assert "\n" not in said
    return said


def test_without_a_module_nothing_is_vetoed() -> None:
    nothing = Hooks()

    changes = (nothing.register, nothing.update, nothing.unregister)
    assert [change("a", ORIGIN).result(0) for change in changes] == [None] * 3

    assert not nothing.can_preprocess
    assert nothing.postprocess("a") is None


def test_each_function_is_told_what_is_going_to_happen(tmp_path: Path) -> None:
    source = """
from dataclasses import dataclass

@dataclass
class Call:
    name: "str"

calls = []

def register_adapter(name, src, alias, options):
    calls.append(("register", Call(name).name, src, alias, options))

def update_adapter(name, **told):
    calls.append(("update", name, told))

def unregister_adapter(name):
    calls.append(("unregister", name))
    raise RuntimeError(repr(calls))
"""
    loaded = hooks.load(write(tmp_path, source), None)

    loaded.register("a", ORIGIN).result(10)
    loaded.update("b", Origin(src="there")).result(10)
    with pytest.raises(Vetoed) as told:
        loaded.unregister("c", ORIGIN).result(10)

    assert str(told.value) == repr(
        [
            ("register", "a", "here", "Pirate", {"owner": "me"}),
            ("update", "b", {"src": "there", "alias": None, "options": {}}),
            ("unregister", "c"),
        ]
    )


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        ("ValueError('not on a Friday')", Vetoed, "not on a Friday"),
        ("KeyError()", Vetoed, "register_adapter: KeyError"),
        ("SystemExit('bye')", Vetoed, "bye"),
        ("MemoryError('full')", NoRoom, "full"),
        ("MemoryError()", NoRoom, "register_adapter says that there is no room"),
    ],
)
def test_a_function_that_raises_vetoes_with_its_message(
    raised: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    source = f"def register_adapter(name, src, alias, options): raise {raised}"
    loaded = hooks.load(write(tmp_path, source), None)

    with pytest.raises(error) as vetoed:
        loaded.register("a", ORIGIN).result(10)

    assert str(vetoed.value) == message


def test_requests_are_changed_by_adapter(tmp_path: Path) -> None:
    source = """
def preprocess(adapter, body):
    return {**body, "prompt": f"{adapter}: {body['prompt']}"}
"""
    loaded = hooks.load(write(tmp_path, source), None)

    assert loaded.can_preprocess
    assert loaded.preprocess("loud", {"prompt": "x"}) == {"prompt": "loud: x"}


def test_each_answer_gets_its_own_change_or_none(tmp_path: Path) -> None:
    source = """
def postprocess(adapter):
    if adapter != "backwards":
        return None
    held = []
    def change(text, is_last):
        held.append(text)
        return "".join(held)[::-1] if is_last else ""
    return change
"""
    loaded = hooks.load(write(tmp_path, source), None)

    first, second = loaded.postprocess("backwards"), loaded.postprocess("backwards")

    assert loaded.postprocess("base") is None
    assert first is not None
    assert second is not None
    assert first("ab", False) == ""
    assert second("x", True) == "x"
    assert first("c", True) == "cba"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def postprocess(adapter): return 5", "returned int"),
        (
            "def postprocess(adapter): return lambda text, is_last: None",
            "made NoneType",
        ),
        ("def postprocess(adapter): return lambda text: text", "positional argument"),
        ("def postprocess(adapter): raise ValueError('no')", "no"),
    ],
)
def test_a_change_that_fails_refuses(source: str, message: str, tmp_path: Path) -> None:
    loaded = hooks.load(write(tmp_path, source), None)

    with pytest.raises(Vetoed, match=message):
        loaded.postprocess("a")("text", True)  # type: ignore[misc]


def test_what_is_no_body_is_never_taken_for_one(tmp_path: Path) -> None:
    loaded = hooks.load(write(tmp_path, "def preprocess(adapter, body): pass"), None)

    with pytest.raises(Vetoed, match="preprocess returned NoneType"):
        loaded.preprocess("a", {})


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("def register_adaptor(name): pass", "register_adapter"),
        ("register_adapter = 5", "register_adapter"),
        ("async def register_adapter(**_): pass", "register_adapter"),
        ("def (", "SyntaxError"),
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    ],
)
def test_a_bad_module_ends_the_start_in_one_line(
    source: str, named: str, tmp_path: Path
) -> None:
    assert named in refusal(write(tmp_path, source))


@pytest.mark.parametrize("module", ["/no/such.py", "no_such_module", "no.such.module"])
def test_a_module_that_is_not_there_ends_the_start(module: str) -> None:
    assert "No module" in refusal(module) or "no such module" in refusal(module)


def test_a_module_is_found_by_its_dotted_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_package").mkdir()
    write(tmp_path / "my_package", "def preprocess(**_): return {'in': __name__}")
    monkeypatch.syspath_prepend(str(tmp_path))

    loaded = hooks.load("my_package.my_hooks", None)

    assert loaded.preprocess("a", {}) == {"in": "my_package.my_hooks"}


def test_code_in_the_adapters_directory_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "adapters" / "evil"
    inside.mkdir(parents=True)
    path = write(inside, "raise SystemExit('it ran')")
    (tmp_path / "link.py").symlink_to(path)
    monkeypatch.syspath_prepend(str(inside))

    for module in (path, str(tmp_path / "link.py"), "my_hooks"):
        assert "never run" in refusal(module, tmp_path / "adapters")
