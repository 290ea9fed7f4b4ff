"""Printable: text from outside, made safe to write into a line of the log.

Names of folders, headers and what libraries raise may hold anything: line ends that
would begin a forged record, escape sequences that a terminal obeys, letters that change
the direction of what follows, or a megabyte.
"""

# Characters
MOST = 8192  # of a message
MOST_OF_FIELD = 1024
MOST_OF_EXCEPTION = 32768  # its end says most


def cut(text: str, most: int = MOST) -> str:
    """At most so many characters, and a note where there were more."""
    if len(text) <= most:
        return text
    return f"{text[:most]}... ({len(text)} characters)"


def printable(text: str) -> str:
    """One line: whatever has no shape of its own is escaped as Python does it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
