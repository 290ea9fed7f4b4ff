"""Followed: what the journal says of a name since another server has written it.

The others did it when they were asked; here it is done because they did. Whoever asked
waits until it can be seen.
"""

from collections.abc import Callable
from dataclasses import replace

from hotswap.adapters.origin import Origin
from hotswap.library.entries import Entries
from hotswap.library.journal import Journal, Note
from hotswap.library.transaction import Transaction


def followed(
    journal: Journal,
    entries: Entries,
    restore: Callable[[str, Origin], Transaction[None]],
    name: str,
    *,
    seen: Note | None,
    note: Note | None,
) -> Transaction[None]:
    """`seen`: what was noted of it here when the journal was read; if that has changed
    since, the journal is to be read again. `restore`: reads and serves it, or tells
    what is wrong."""
    if journal.notes.get(name) != seen:
        return
    journal.take(name, note)
    known, origin = entries.get(name), note.origin if note else None
    if origin is not None and not origin.is_watched:
        is_same = seen is not None and note is not None and seen.change == note.change
        if is_same and known is not None and not known.origin.is_watched:
            entries.amend(name, replace(known, origin=origin))
        else:
            yield from restore(name, origin)
    elif known is None:
        return  # the watch finds what there is
    elif not known.origin.is_watched:
        entries.retire(name)
    elif note is not None and note.gone is not None:
        if note.gone == known.stamp:  # else its files have changed meanwhile
            entries.retire(name)
    else:
        asked = origin or Origin(src=known.origin.src, is_watched=True)
        entries.amend(name, replace(known, origin=asked))
