"""What may be said with a push, by `git push -o`: of a proposal, its title, its description, or which one it is."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from catalogd.errors import Invalid

TITLE, DESCRIPTION, PROPOSAL = "title", "description", "proposal"
_OPTIONS = (TITLE, DESCRIPTION, PROPOSAL)
_FORMS = "-o title=..., -o description=... and -o proposal=<number>"

# Of all together, in bytes.
_MOST = 12_000
_MOST_OF_A_NUMBER = 9


def parse(options: Sequence[bytes]) -> Mapping[str, str]:
    """The options by name. Raises Invalid."""
    if sum(map(len, options)) > _MOST:
        raise Invalid(f"The push options have more than {_MOST:,} bytes in all.")
    found: dict[str, str] = {}
    for option in options:
        name, value = _parsed(option)
        if name in found:
            raise Invalid(f"The push option {name} is given twice.")
        found[name] = value
    return found


def _parsed(option: bytes) -> tuple[str, str]:
    try:
        name, equals, value = option.decode().partition("=")
    except UnicodeDecodeError:
        raise Invalid("A push option is not in UTF-8.") from None
    if name not in _OPTIONS or not equals:
        raise Invalid(f"There is no push option {option.decode()[:80]!r}; there are {_FORMS}.")
    control = next((c for c in value if unicodedata.category(c) == "Cc" and c not in "\n\t"), None)
    if control is not None:
        raise Invalid(f"The push option {name} has a control character (U+{ord(control):04X}).")
    if name == PROPOSAL and not (value.isascii() and value.isdecimal() and len(value) <= _MOST_OF_A_NUMBER):
        raise Invalid("The push option proposal must be the number of a proposal: -o proposal=12")
    if name == TITLE and (not value.strip() or not value.isprintable()):
        raise Invalid("The push option title must be one line that says what the proposal does.")
    return name, value
