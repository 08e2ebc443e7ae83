"""What a pushed commit must be, whatever it changes: by the pusher, of now, and not as if the catalog had made it.

Pure: no store, no clock.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator

from catalogd import rights
from catalogd.accounts import Account
from catalogd.store import COMMITTER, COMMITTER_EMAIL, NewCommit, Person, identity

# So far ahead of ours a clock may be, in seconds.
CLOCK_SKEW = 300.0
_MOST_OF_A_NAME = 200
_MOST_OF_AN_EMAIL = 320

# By what the catalog knows its own commits. Those of proposals count only where it is the committer.
_TRAILER = re.compile(
    r"^(catalog-action|request-id|activity-batch|registry-delivery|pushed-by)[ \t]*:", re.IGNORECASE | re.MULTILINE
)

Wrong = tuple[str, tuple[str, ...]]


def faults_in(commit: NewCommit, account: Account, now: float, before: float | None) -> Iterator[Wrong]:
    """(what is wrong, the lines that say what would be right).

    `now`, and `before`, when the commit was made on which this one stands in main, are in seconds since the epoch; a
    commit of a merged line has none. What main was at a time is looked up by these dates, so they must not run back.
    """
    if not rights.administers(account):
        yield from _faults_in_people(commit, account)
    if before is not None and commit.committer.seconds < min(now, before) - CLOCK_SKEW:
        yield "its committer's date is before that of the commit on which it stands", (_REBASE,)
    for role, person in (("author", commit.author), ("committer", commit.committer)):
        yield from _faults_in_person(role, person, now)
    yield from _faults_in_message(commit)


def _faults_in_people(commit: NewCommit, account: Account) -> Iterator[Wrong]:
    name, _, rest = identity(account.name or "", account.email or "").partition(" <")
    email = rest.removesuffix(">")
    mend = (
        "Commits that you push must be yours. Put your name on them, then push again:",
        f"  git config user.name {shlex.quote(name)}",
        f"  git config user.email {shlex.quote(email)}",
        "  git rebase --exec 'git commit --amend --no-edit --reset-author' origin/main",
        "Commits of others are pushed by an admin, with a token of the scope admin.",
    )
    others = {
        role: _shown(person)
        for role, person in (("author", commit.author), ("committer", commit.committer))
        if (person.name, person.email) != (name.encode(), email.encode())
    }
    if len(others) == 2 and len(set(others.values())) == 1:
        others = {"author and committer": others["author"]}
    for role, other in others.items():
        yield f"its {role} is {other}, not {name} <{email}>", mend


def _faults_in_person(role: str, person: Person, now: float) -> Iterator[Wrong]:
    name, email = _text(person.name), _text(person.email)
    if name is None or email is None or not (name + email).isprintable():
        yield f"its {role} {_shown(person)} has characters that cannot be shown", (_AMEND,)
        return
    if len(name) > _MOST_OF_A_NAME or len(email) > _MOST_OF_AN_EMAIL:
        most = f"at most {_MOST_OF_A_NAME} and {_MOST_OF_AN_EMAIL} characters"
        yield f"the name or e-mail of its {role} is too long: {most}", (_AMEND,)
    plain = unicodedata.normalize("NFKC", name).strip().casefold()
    if COMMITTER in (plain, email.casefold().strip()) or email.casefold().strip() == COMMITTER_EMAIL:
        yield f"its {role} is {_shown(person)}, which only the catalog itself may be", (_AMEND,)
    if person.seconds > now + CLOCK_SKEW:
        yield f"the date of its {role} is in the future", ("Set your clock, then: git commit --amend --reset-author.",)


_REBASE = "Set your clock, and make it anew: git rebase --force-rebase origin/main."
_AMEND = "Give it another one: git commit --amend --reset-author."


def _faults_in_message(commit: NewCommit) -> Iterator[Wrong]:
    reword = "Reword it: git commit --amend, or git rebase -i for an older one."
    message = _text(commit.message)
    if message is None or commit.encoding.lower() not in (b"", b"utf-8", b"utf8"):
        yield "its message is not in UTF-8", (reword,)
        return
    control = next((c for c in message if unicodedata.category(c) == "Cc" and c not in "\n\t"), None)
    if control is not None:
        yield f"its message has a control character (U+{ord(control):04X})", (reword,)
    found = _TRAILER.search(message)
    if found:
        yield f'its message has a line "{found[1]}:", which only the catalog itself writes', (reword,)


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _shown(person: Person) -> str:
    name, email = (part[:80].decode("utf-8", "backslashreplace") for part in (person.name, person.email))
    return f"{name} <{email}>"
