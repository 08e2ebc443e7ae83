"""Full-text search: what of a text is indexed, and how a user's words become a query of FTS5."""

from __future__ import annotations

import re

# More words than these would narrow a search no further, and each costs a walk through the index.
MAX_WORDS = 32

# Scripts written without spaces: unicode61 would take a whole sentence for one word. Kana, Han, Hangul syllables,
# compatibility ideographs, and the ideographs beyond the basic plane.
_UNSPACED = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff])")

# A quote would end the phrase, NUL the query, half a surrogate pair cannot be given to SQLite. All part words anyway.
_UNQUOTABLE = re.compile('["\0\ud800-\udfff]')


def searchable(text: str) -> str:
    """The text as it is indexed: every character of an unspaced script is a word of its own."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)


def query(text: str) -> str | None:
    """What a user typed as an FTS5 query: documents that have all the words, each at least as a beginning.

    A word with separators in it (`open-liberty`) is a phrase: its parts in this order, next to each other.
    None if there is no word at all.
    """
    words = _UNQUOTABLE.sub(" ", text).split()[:MAX_WORDS]
    if not words:
        return None
    return " AND ".join(f'"{searchable(word)}"*' for word in words)
