"""Properties file: `serving.properties`, read as Java reads it.

The format is that of `java.util.Properties.load(InputStream)`, by which DJL Serving
reads the file: ISO 8859-1, `#` and `!` begin a comment, a key ends at the first `=`,
`:` or white space, a backslash at the end of a line goes on in the next one, \\uXXXX is
a character, and of two lines with one key the last counts. Nothing is put in for
${...}: DJL does not do that either.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import StartFailed
from hotswap.logs.printable import cut, printable

PROPERTIES_FILE = "serving.properties"
MAX_BYTES = 1 << 16
_MOST_OF_TEXT = 100  # characters of a value, in a message

_BLANK = " \t\f"
_LINE_END = re.compile("\r\n|\r|\n")
_KEY = re.compile(r"(?:\\.|[^\\=: \t\f])*", re.S)
_SEPARATOR = re.compile(r"[ \t\f]*[=:]?[ \t\f]*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.S)
_SHORT = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf"  # UTF-8's, in ISO 8859-1


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's text, without the white space behind it. `name`: the key, or what else
    says it; `where` it does, for people."""

    text: str
    name: str
    where: str

    @property
    def said(self) -> str:
        """All of it in one line, for people."""
        text = printable(cut(self.text, _MOST_OF_TEXT))
        return f"{self.where} {printable(self.name)}={text}"


def read_properties(path: Path) -> dict[str, Entry]:
    """The entries of a file. Raises StartFailed with the line that is no good."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StartFailed(f"{path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise StartFailed(f"{path}: more than {MAX_BYTES} bytes")
    return parse(content.decode("latin-1"), str(path))


def parse(text: str, name: str) -> dict[str, Entry]:
    """The same of its text; `name` is what messages call it."""
    if text.startswith(_BYTE_ORDER_MARK):
        raise StartFailed(
            f"{name} line 1: begins with a byte order mark, which Java takes for a "
            "part of the first key: save the file without"
        )
    found = {}
    for number, line in _logical_lines(text):
        place = f"{name} line {number}"
        written = _KEY.match(line)
        assert written  # it matches nothing as well
        separator = _SEPARATOR.match(line, written.end())
        assert separator
        key = _plain(written[0], place)
        value = _plain(line[separator.end() :], place)
        found[key] = Entry(value.rstrip(), key, f"{place}:")
    return found


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that continue them, without what begins them, and the number
    of the first of each; no blank ones and no comments."""
    parts: list[str] = []
    first = 0
    goes_on = False
    for number, natural in enumerate(_LINE_END.split(text), 1):
        line = natural.lstrip(_BLANK)
        if not goes_on:
            if not line or line[0] in "#!":
                continue
            first = number
        backslashes = len(line) - len(line.rstrip("\\"))
        goes_on = backslashes % 2 == 1
        parts.append(line[:-1] if goes_on else line)
        if not goes_on:
            yield first, "".join(parts)
            parts.clear()
    if parts:
        yield first, "".join(parts)


def _plain(written: str, place: str) -> str:
    """Without escapes. Raises StartFailed."""

    def character(escape: re.Match[str]) -> str:
        told = escape[1]
        if len(told) == 5:
            return chr(int(told[1:], 16))
        if told == "u":
            raise StartFailed(
                f"{place}: \\u is not followed by four hexadecimal digits"
            )
        return _SHORT.get(told, told)

    return _surrogates_joined(_ESCAPE.sub(character, written))


def _surrogates_joined(text: str) -> str:
    """Two \\uXXXX of UTF-16 as the one character they are; alone one is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
