"""Every field of a body: null is absent, neutral passes, the rest is refused."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from openai.types import chat as chat_types
from openai.types import completion_create_params as completion
from openai.types.chat import completion_create_params as chat

from hotswap.api.application import PARTS
from hotswap.api.openai.chat_messages import ChatMessage, templated
from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.schemas import Completion
from hotswap.api.shared.schemas import Fields, convert, decode
from hotswap.api.shared.unsupported_fields import ANYTHING
from hotswap.errors import BadRequest
from tests.hotswap.api.least_bodies import CALL, LEAST, PLACES, USER
from tests.peer_fields import bodies

OTHER: list[Any] = [True, False, 0, 1, 7, 0.5, "", "x", "high", [], ["x"], {}, {"x": 1}]


def read(kind: type[Fields], fields: dict[str, Any]) -> Any:
    """A client's body with the object, as it is decoded."""
    value = {**LEAST[kind], **fields}
    body, _, around = PLACES.get(kind, (kind, "", lambda it: it))
    return decode(msgspec.json.encode(around(value)), body)


def refused(kind: type[Fields], fields: dict[str, Any]) -> str | None:
    """The field that the refusal names, without the place of the object."""
    with pytest.raises(BadRequest) as caught:
        read(kind, fields)
    _, place, _ = PLACES.get(kind, (kind, "", None))
    return (caught.value.field or "").removeprefix(place)


def test_every_object_that_may_say_what_changes_nothing_is_tried_here() -> None:
    assert PARTS  # it has imported all bodies
    read_here = [kind for kind in bodies() if not kind.__subclasses__()]

    assert {kind for kind in read_here if kind.foreign} <= {*LEAST}


def foreign() -> Iterator[Any]:
    for kind in LEAST:
        for field in kind.foreign:
            yield pytest.param(kind, field, id=f"{kind.__name__} {field}")


@pytest.mark.parametrize(("kind", "field"), list(foreign()))
def test_null_and_neutral_values_pass_and_others_are_refused_by_name(
    kind: type[Fields], field: str
) -> None:
    neutral = kind.foreign[field]
    plain = read(kind, {})
    if neutral is ANYTHING:
        assert all(read(kind, {field: value}) == plain for value in [*OTHER, None])
        return

    assert all(read(kind, {field: value}) == plain for value in [*neutral, None])

    asking = [
        value
        for value in OTHER
        if not any(
            isinstance(value, bool) is isinstance(one, bool) and value == one
            for one in neutral
        )
    ]
    assert len(asking) > 9
    assert {refused(kind, {field: value}) for value in asking} == {field}


def own() -> Iterator[Any]:
    for kind in LEAST:
        for field in msgspec.structs.fields(kind):
            if not field.required:
                name = field.encode_name
                yield pytest.param(kind, name, id=f"{kind.__name__} {name}")


@pytest.mark.parametrize(("kind", "field"), list(own()))
def test_null_is_absent_for_every_field_that_may_be_absent(
    kind: type[Fields], field: str
) -> None:
    assert read(kind, {field: None}) == read(kind, {})


@pytest.mark.parametrize("kind", LEAST)
def test_null_is_absent_for_every_field_that_may_not_be_and_its_name_is_told(
    kind: type[Fields],
) -> None:
    for field in msgspec.structs.fields(kind):
        if field.required:
            assert refused(kind, {field.name: None}) == field.name


@pytest.mark.parametrize("value", [None, 1, "x"])
@pytest.mark.parametrize("kind", LEAST)
def test_a_field_that_nobody_knows_is_refused_by_name(
    kind: type[Fields], value: object
) -> None:
    assert refused(kind, {"contnet": value}) == "contnet"


def test_every_field_of_openais_own_client_is_known() -> None:
    messages = [
        getattr(chat_types, f"ChatCompletion{role}MessageParam").__annotations__
        for role in ("System", "Developer", "User", "Assistant", "Tool", "Function")
    ]
    answer = chat_types.ChatCompletionMessage.model_fields

    for kind, fields in (
        (Chat, chat.CompletionCreateParamsBase.__annotations__),
        (Completion, completion.CompletionCreateParamsBase.__annotations__),
        (ChatMessage, {field for each in [*messages, answer] for field in each}),
    ):
        assert set(fields) <= {*kind.__struct_fields__, *kind.foreign}, kind


def test_an_answers_message_can_be_sent_back_as_openais_client_dumps_it() -> None:
    message = chat_types.ChatCompletionMessage(role="assistant", content="Ahoy")

    found = read(ChatMessage, message.model_dump()).messages[1]

    assert (found.role, found.content) == ("assistant", "Ahoy")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "user", "contnet": "hi"}, "contnet"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": None}, "content"),
        ({"role": "assistant", "content": None}, "content"),
        ({"role": "user", "content": []}, "content"),
        ({"role": "user", "content": 5}, "content"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "content[0].text"),
        ({"content": "hi"}, "role"),
        ({"role": "robot", "content": "hi"}, "role"),
        ({"role": "", "content": "hi"}, "role"),
        ({"role": "function", "content": "4", "name": "f"}, "role"),
        ({"role": "tool", "content": "4"}, "tool_call_id"),
        ({"role": "tool", "content": None, "tool_call_id": "1"}, "content"),
        ({"role": "user", "content": "hi", "tool_call_id": "1"}, "tool_call_id"),
        ({"role": "user", "content": "hi", "tool_calls": [CALL]}, "tool_calls"),
        ({"role": "user", "content": "hi", "refusal": "no"}, "refusal"),
        ({"role": "user", "content": "hi", "reasoning": "hm"}, "reasoning"),
        ({"role": "assistant", "tool_calls": [{}]}, "tool_calls[0].function"),
        ({"role": "assistant", "tool_calls": []}, "content"),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]},
            "tool_calls[0].type",
        ),
        (
            {"role": "user", "content": [{"type": "text", "refusal": "no"}]},
            "content[0].text",
        ),
    ],
)
def test_what_a_message_lacks_or_says_too_much_is_named_with_its_place(
    message: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        templated(convert({"messages": [USER, message]}, Chat).messages)

    assert caught.value.field == f"messages[1].{field}"
    assert field.rpartition(".")[2] in str(caught.value)


def test_what_openais_libraries_add_to_what_they_parse_is_passed_over() -> None:
    plain = {"role": "assistant", "content": "{}", "tool_calls": [CALL]}
    function = CALL["function"] | {"parsed_arguments": {"a": 1}}  # type: ignore[operator]
    parsed = plain | {"parsed": {"a": 1}, "tool_calls": [CALL | {"function": function}]}

    one, other = (
        templated(convert({"messages": [USER, message]}, Chat).messages)
        for message in (plain, parsed)
    )
    assert one == other
