"""What is wrong with a push, as git's user reads it: each commit and file with what is wrong and would be right."""

from __future__ import annotations

from collections.abc import Iterable

from catalogd.check import Finding
from catalogd.check_formats import safe
from catalogd.errors import CatalogdError
from catalogd.store import short

# So many faults are shown, and looked for.
_MOST_SHOWN = 50
_MOST_COUNTED = 1000
_MOST_OF_A_LINE = 400
_MOST_OF_A_PATH = 200

_HEAD = "This push is refused, and nothing of it is kept:"


class Refused(CatalogdError):
    """A push is not taken; the detail is what its user reads, on several lines."""


class Refusals:
    """Collects what is wrong with a push. `head` stands above it all."""

    def __init__(self, head: str = _HEAD) -> None:
        self._head = head
        self._lines: list[str] = []
        self._count = 0
        self._commit = ""
        self._said: set[str] = set()

    def __bool__(self) -> bool:
        return self._count > 0

    @property
    def is_full(self) -> bool:
        """Whether there is so much wrong that nobody needs more."""
        return self._count >= _MOST_COUNTED

    def add(self, detail: str, *mend: str) -> None:
        """Something wrong with the push as a whole. `mend` is told once, however often it is given."""
        self._add([_line(detail)], mend)

    def add_of_commit(self, commit: str, detail: str, *mend: str) -> None:
        """Something wrong with a commit."""
        self._add([*self._named(commit), _line(f"  {detail}")], mend, "    ")

    def add_of_file(self, commit: str | None, finding: Finding) -> None:
        """Something wrong with a file that a commit changes; None is all of the push."""
        place = f"{shown_path(finding.path)}:{finding.line}: " if finding.line else f"{shown_path(finding.path)}: "
        pointer = f"{finding.pointer}: " if finding.pointer else ""
        self._add([*self._named(commit), _line(f"  {place}{pointer}{finding.detail}")], ())
        if self._count <= _MOST_SHOWN and finding.mend:
            self._lines.append(_line(f"      {finding.mend}"))

    def require_none(self) -> None:
        """Raises Refused where there is one."""
        if self:
            raise Refused(self.text())

    def text(self) -> str:
        """All of it, for a terminal."""
        more = self._count - _MOST_SHOWN
        at_least = "at least " if self.is_full else ""
        end = [f"and {at_least}{more:,} more"] if more > 0 else []
        return "\n".join([self._head, *self._lines, *end])

    def _named(self, commit: str | None) -> list[str]:
        if commit is None or commit == self._commit:
            return []
        self._commit = commit
        return [f"commit {short(commit)}:"]

    def _add(self, lines: Iterable[str], mend: Iterable[str], indent: str = "  ") -> None:
        self._count += 1
        if self._count > _MOST_SHOWN:
            return
        self._lines += lines
        for line in mend:
            if line not in self._said:
                self._said.add(line)
                self._lines.append(_line(indent + line))


def refused(detail: str, *mend: str) -> Refused:
    """Of a push that has one thing wrong."""
    refusals = Refusals()
    refusals.add(detail, *mend)
    return Refused(refusals.text())


def note_of(warnings: int) -> str:
    """What to tell of so many files that say the right things in another form."""
    if not warnings:
        return ""
    files = "1 file is" if warnings == 1 else f"{warnings:,} files are"
    return f"catalogd: {files} not in canonical form, which catalogd check --fix would write."


def shown_path(path: str) -> str:
    """A path for a terminal: what is no UTF-8 as \\xff, and no more of it than anybody needs."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return safe(text if len(text) <= _MOST_OF_A_PATH else f"{text[:_MOST_OF_A_PATH]}...")


def _line(text: str) -> str:
    return safe(text if len(text) <= _MOST_OF_A_LINE else f"{text[:_MOST_OF_A_LINE]}...")
