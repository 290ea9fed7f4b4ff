"""Call reader: one call as JSON, `{"name": ..., "arguments": {...}}`, as it comes.

It is a call from where its name is known and its arguments begin. From there on it is
told as it is written, flaws and all, as OpenAI does: whoever calls a function has to
check what it is called with. Before that anything unexpected means that it is none.
"""

import json

_SPACE = " \t\r\n"
_ARGUMENTS = ("arguments", "parameters")  # Llama's word is the second


class CallReader:
    """`push` a text; `name` and `arguments` are what is known of the call."""

    def __init__(
        self,
        *,
        names: frozenset[str] | None = None,
        others: frozenset[str] | None = None,
        name: str = "",
    ) -> None:
        """`names`: the functions that may be called; None is any. `others`: the keys
        that a call may have besides; None is any. `name`: it is known already, and the
        text is the arguments alone."""
        self.name = name
        self.is_call = False
        self.is_over = False
        self.arguments: list[str] = []  # taken out by whoever tells them
        self._names, self._others = names, others
        self._key = _ARGUMENTS[0] if name else ""
        self._is_arguments_alone = bool(name)
        self._at = self._value if name else self._open
        self._literal: list[str] = []
        self._scan = ValueScan()

    @property
    def is_none(self) -> bool:
        """It has turned out to be no call."""
        return self.is_over and not self.is_call

    def push(self, text: str) -> int:
        """Take characters of `text` as far as they belong to it; how many."""
        for position, character in enumerate(text):
            if not self._at(character):
                self.is_over = True
                return position
            if self.is_over:
                return position + 1
        return len(text)

    # Each of these takes a character, or says that it does not belong here.

    def _open(self, character: str) -> bool:
        if character == "{":
            self._at = self._key_or_end
        return character == "{" or character in _SPACE

    def _key_or_end(self, character: str) -> bool:
        if character == '"':
            self._literal, self._scan = [character], ValueScan(in_string=True)
            self._at = self._in_key
            return True
        return character in _SPACE or (character == "}" and self._end())

    def _in_key(self, character: str) -> bool:
        if not self._string(character):
            return True
        self._key = _loaded(self._literal)
        self._at = self._colon
        known = ("name", *_ARGUMENTS, *(self._others or ()))
        return self._others is None or self._key in known

    def _colon(self, character: str) -> bool:
        if character == ":":
            self._at = self._value
        return character == ":" or character in _SPACE

    def _value(self, character: str) -> bool:
        if character in _SPACE:
            return True
        self._scan = ValueScan()
        if self._key == "name" and not self.name:
            self._literal, self._scan = [character], ValueScan(in_string=True)
            self._at = self._in_name
            return character == '"'
        if self._key in _ARGUMENTS and not self.is_call and not self.arguments:
            if character == "{":
                self._at = self._in_arguments
                self.is_call = bool(self.name)
                return self._in_arguments(character)
            if character != "n":  # of null: there are none
                return False
        self._at = self._in_other
        return self._in_other(character)

    def _in_name(self, character: str) -> bool:
        if not self._string(character):
            return True
        self.name = _loaded(self._literal)
        if not self.name or (self._names is not None and self.name not in self._names):
            return False
        self._at = self._comma_or_end
        self.is_call = bool(self.arguments)  # that came before it
        return True

    def _in_arguments(self, character: str) -> bool:
        if self.is_call and character == "<" and not self._scan.in_string:
            return False  # the end of the format's own: they are not finished
        self.arguments.append(character)
        if self._scan.ends(character):
            self._at = self._comma_or_end
            self.is_over = self._is_arguments_alone
        return True

    def _in_other(self, character: str) -> bool:
        if self._scan.ends_before(character):
            self._at = self._comma_or_end
            return self._comma_or_end(character)
        if self._scan.ends(character):
            self._at = self._comma_or_end
        return True

    def _comma_or_end(self, character: str) -> bool:
        if character == ",":
            self._at = self._key_or_end
        return (
            character in _SPACE
            or character == ","
            or (character == "}" and self._end())
        )

    def _end(self) -> bool:
        if self.name and not self.arguments and not self.is_call:
            self.arguments.append("{}")  # it takes none
        self.is_call = bool(self.name)
        self.is_over = True
        return True

    def _string(self, character: str) -> bool:
        """Whether a string ends with this character."""
        self._literal.append(character)
        return self._scan.ends(character)


class ValueScan:
    """Looks for the end of a JSON value, without a look at anything else."""

    def __init__(self, *, in_string: bool = False) -> None:
        self.in_string = in_string
        self._depth = 0
        self._is_escaped = False

    def ends(self, character: str) -> bool:
        """Whether a string, an object or an array ends with this character."""
        if self.in_string:
            if self._is_escaped:
                self._is_escaped = False
            elif character == "\\":
                self._is_escaped = True
            elif character == '"':
                self.in_string = False
                return not self._depth
            return False
        if character == '"':
            self.in_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            return not self._depth
        return False

    def ends_before(self, character: str) -> bool:
        """Whether a number or a word has ended before this character."""
        is_plain = not self._depth and not self.in_string
        return is_plain and (character in ",}" or character in _SPACE)


def _loaded(literal: list[str]) -> str:
    """The string that is written so; "" if it is written wrong."""
    try:
        return str(json.loads("".join(literal), strict=False))
    except ValueError:
        return ""
