"""Conditional requests (RFC 9110, section 13) and the tags of entities.

The tag of a detail is `"<blob>"`, or `"<blob>.<more>"` where the caller is shown more than the document has: stars and
pulls that are not counted in it yet, or a star of their own. A write compares the blob, because that is what it would
overwrite; a read compares the whole of it, because that is what the caller has.
"""

from __future__ import annotations

import re

from catalogd.catalog import IfMatch
from catalogd.errors import Malformed

# RFC 9110, section 8.8.3: entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE, in a list whose elements may be empty.
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*"
_LIST = re.compile(_TAGS)
# What either header may be.
PATTERN = rf"\*|{_TAGS}"
_ONE = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def etag(blob: str, version: str = "") -> str:
    """The strong tag of a representation of a blob; `version` tells several of one blob apart, "" is the first."""
    return f'"{blob}.{version}"' if version else f'"{blob}"'


def if_match(header: str | None) -> IfMatch | None:
    """The blobs that If-Match allows, "*" for any, None without the header. Raises Malformed.

    A weak tag never matches (RFC 9110, section 13.1.1), so it is left out: only weak ones allow nothing.
    """
    if header is None:
        return None
    if header.strip() == "*":
        return "*"
    return frozenset(tag.partition(".")[0] for weak, tag in _tags("If-Match", header) if not weak)


def none_match(header: str | None, current: str) -> bool:
    """Whether If-None-Match says that the caller has the representation tagged `current`. Raises
    Malformed.
    """
    if header is None:
        return False
    if header == current or header.strip() == "*":
        return True
    return any(f'"{tag}"' == current for _, tag in _tags("If-None-Match", header))


def _tags(name: str, header: str) -> list[tuple[str, str]]:
    if not _LIST.fullmatch(header):
        raise Malformed(f'{name} must be "*" or a list of entity tags in double quotes, such as "1c2d3e".')
    return _ONE.findall(header)
