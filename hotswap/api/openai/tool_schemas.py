"""Tool schemas: OpenAI's `tools` and `tool_choice`, as a body has them."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.schemas import Fields
from hotswap.errors import BadRequest

# OpenAI allows letters, digits, _ and -; others have names of modules and of servers.
FunctionName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.:/-]{1,128}$")]


class Function(Fields, frozen=True, kw_only=True):
    """`parameters`: the JSON schema of its arguments; None: it takes none. `strict` is
    held where a grammar forces the call."""

    foreign = unsupported_fields.TOOL

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.TOOL
    inner: ClassVar = {"function": Function}

    type: Literal["function"]
    function: Function

    def told(self) -> dict[str, Any]:
        """As a template is told of it."""
        function = self.function
        fields = ("name", "description", "parameters")
        said = {name: getattr(function, name) for name in fields}
        given = {name: value for name, value in said.items() if value is not None}
        return {"type": self.type, "function": given}


class FunctionChoice(Fields, frozen=True, kw_only=True):
    name: str


class ToolChoice(Fields, frozen=True, kw_only=True):
    """The function that is to be called."""

    inner: ClassVar = {"function": FunctionChoice}

    type: Literal["function"]
    function: FunctionChoice


Tools = Annotated[list[Tool], Meta(max_length=128)]  # OpenAI's limit
Choice = Literal["none", "auto", "required"] | ToolChoice


def check_tools(tools: list[Tool], choice: Choice | None) -> None:
    """Raises BadRequest for what the fields say only together."""
    names: set[str] = set()
    for index, tool in enumerate(tools):
        place, function = f"tools[{index}].function", tool.function
        if function.name in names:
            raise BadRequest(
                f"`{place}.name`: there is another function `{function.name}`",
                f"{place}.name",
            )
        names.add(function.name)
        if (function.parameters or {}).get("type", "object") != "object":
            raise BadRequest(
                f"`{place}.parameters`: arguments are an object: the schema's `type` "
                'has to be "object"',
                f"{place}.parameters",
            )
    if choice in (None, "none"):
        return
    if not tools:
        raise BadRequest("`tool_choice` needs `tools`", "tool_choice")
    if isinstance(choice, ToolChoice) and choice.function.name not in names:
        raise BadRequest(
            f"`tool_choice`: there is no function `{choice.function.name}` in `tools`",
            "tool_choice.function.name",
        )
