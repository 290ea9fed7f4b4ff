"""What a request needs to know of an adapter before it reaches the engine."""

from hotswap.engine.messages import Adopt
from tests.fakes import LoudTokenizer
from tests.hotswap.library.desk import LOUD, Desk, make


def test_what_prompts_are_encoded_with_is_known_when_the_change_is_answered(
    desk: Desk,
) -> None:
    desk.register("one", "stock/a")
    assert desk.library.tokenizers == {}

    desk.register("two", f"stock/{LOUD}", preload=False)
    assert desk.library.tokenizers == {"two": None}
    for _ in range(2):
        desk.library.learn("two").result(10)

    assert isinstance(desk.library.tokenizers["two"], LoudTokenizer)
    read = [
        message.generation for message in desk.messages if isinstance(message, Adopt)
    ]
    assert [g.key if g else None for g in read] == ["a", None, LOUD]
    desk.library.unregister("two").result(10)
    assert desk.library.tokenizers == {}


def test_an_old_generation_that_serves_on_keeps_its_tokenizer(desk: Desk) -> None:
    folder = make(desk.directory / "one", LOUD)
    desk.find("one")
    loud = desk.library.tokenizers["one"]
    assert loud is not None

    make(folder, "broken")
    desk.find("one", "2")
    assert desk.library.tokenizers == {"one": loud}
    make(folder, "a")
    desk.find("one", "3")

    assert desk.library.tokenizers == {}


def test_an_unread_adapter_that_turns_out_broken_is_refused_and_not_read_again(
    desk: Desk,
) -> None:
    make(desk.directory / "stock" / "broken", "broken")
    desk.register("one", "stock/broken", preload=False)

    for _ in range(2):
        desk.library.learn("one").result(10)

    assert [what for what, *_ in desk.told()] == ["adopt", "refuse"]
    assert desk.library.tokenizers == {}


def test_aliases_lead_to_the_adapter_unless_a_real_one_has_the_name(desk: Desk) -> None:
    folder = make(desk.directory / "one", "a")
    (folder / "hotswap.toml").write_text('aliases = ["uno", "two"]\nscale = 2.0\n')
    desk.find("one")
    desk.register("two", "stock/b")

    assert desk.library.aliases == {"uno": "one"}
    assert desk.library.sidecars["one"].scale == 2.0
    desk.library.unregister("two").result(10)
    assert desk.library.aliases == {"uno": "one", "two": "one"}
    desk.library.gone("one").result(10)
    assert desk.library.aliases == {}


def test_an_alias_that_two_adapters_claim_leads_to_neither(desk: Desk) -> None:
    for name in ("one", "two"):
        folder = make(desk.directory / name, "a")
        (folder / "hotswap.toml").write_text('aliases = ["uno"]\n')
        desk.find(name)

    assert desk.library.aliases == {}
    desk.library.gone("two").result(10)
    assert desk.library.aliases == {"uno": "one"}
