"""Pushes that mean harm: each is refused with a message, and after all of them nothing is there that was not before."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from git_user import document
from raw_push import (
    NOTHING,
    PATH,
    TYPE,
    Answer,
    Objects,
    body_of,
    pack_of,
    packet,
    post,
    record,
    size_of,
)  # fmt: skip
from served_catalog import Client, Served, git, wait_for
from test_git_clients import children_of

pytestmark = pytest.mark.slow

MAIN = b"refs/heads/main"
FILE, LINK, TREE, GITLINK = b"100644", b"120000", b"40000", b"160000"
# Of an object that nobody has.
MISSING = "5" * 40


@dataclass
class Attack:
    """One hostile push: what it makes and sends."""

    served: Served
    client: Client
    objects: Objects
    head: str

    def sends(self, new: str, pack: bytes | None = None, ref: bytes = MAIN, old: str | None = None) -> Answer:
        pack = self.objects.pack() if pack is None else pack
        return post(self.client, body_of([(old or self.head, new, ref)], pack))

    def commits(self, root: str, **more: Any) -> Answer:
        return self.sends(self.objects.commit(root, self.head, **more))

    def places(self, directory: str, name: bytes, content: bytes | str = b"{}", mode: bytes = FILE) -> Answer:
        """A commit with one entry more; `content` is a blob's, or the id of an object."""
        object_id = self.objects.blob(content) if isinstance(content, bytes) else content
        return self.commits(self.objects.with_entry(directory, name, mode, object_id))

    def writes(self, **fields: Any) -> Answer:
        """A commit that changes a document in which mallory may write."""
        return self.places("data/team", b"web.json", json.dumps({**document("team", "web"), **fields}).encode())

    def good_root(self) -> str:
        blob = self.objects.blob(json.dumps(document("team", "good", description=str(time.time_ns()))).encode())
        return self.objects.with_entry("data/team", b"good.json", FILE, blob)


Case = tuple[Callable[[Attack], Answer], str]
CASES: dict[str, Case] = {}


def case(name: str, words: str, attack: Callable[[Attack], Answer]) -> None:
    """`words` must be told, "|" between what will do as well."""
    assert name not in CASES
    CASES[name] = attack, words


# --- modes and places

NO_PLACE = "is no place for a document"
FSCK = "fsck error|malformed|error in"

for mode in (b"120000", b"100755", b"100664", b"100600", b"100000", b"0100644", b"644"):
    case(f"mode {mode.decode()}", f"is of the mode|is executable|is a symbolic link|{FSCK}",
         lambda a, mode=mode: a.places("data/team", b"x.json", b"web.json", mode))  # fmt: skip
case("a gitlink", "is a submodule", lambda a: a.places("data/team", b"x.json", a.head, GITLINK))
case("a gitlink for a namespace", NO_PLACE, lambda a: a.places("data", b"x", a.head, GITLINK))
case(
    "a directory for a document",
    "is a directory",
    lambda a: a.places("data/team", b"x.json", a.objects.tree({}), TREE),
)
case("a link for a namespace", NO_PLACE, lambda a: a.places("data", b"x", b"team", LINK))
case("a link for data", NO_PLACE, lambda a: a.places("", b"data", b"/etc", LINK))
case("a document that becomes a link", "is a symbolic link", lambda a: a.places("data/team", b"web.json", b"x", LINK))

AT_THE_TOP = [
    b".gitattributes", b".gitmodules", b".gitignore", b".git", b".GIT", b".gIt", b"git~1", b".mailmap", b"..", b".",
    b"CON", b"a\nb", b"\xff\xfe", b"n" * 4096, b"Data", b"DATA", b"data\xe2\x80\x8d", b".g\xe2\x80\x8cit", b".github",
    b"README.md", b"-x", b"$(id)", b"`id`", b"data ", b"\x1b[31mred", b"hooks", b"HEAD", b"catalogd.toml",
]  # fmt: skip
for name in AT_THE_TOP:
    case(f"{name[:20]!r} at the top", f"{NO_PLACE}|{FSCK}", lambda a, name=name: a.places("", name, b"x"))

DOCUMENTS = [
    b"Foo.json", b"WEB.json", b"CON.json", b"nul.json", b"aux.txt", b"web.json.lock", b"x.lock", b"x.lock.json",
    "é.json".encode(), "e\u0301.json".encode(), b"..json", b".json", b"web.JSON", b"a b.json", b"-x.json",
    b"$(id).json", b"a\nb.json", b"\xff.json", b"n" * 4096 + b".json", b"web.json.json", b"x.git.json", b"..", b".git",
    b"git~1", b"a\\b.json", b"..\\..\\x.json", "zero\u200bwidth.json".encode(), b"web", b"x.json\n", b"a__.json",
]  # fmt: skip
for name in DOCUMENTS:
    case(f"a document {name[:20]!r}", f"{NO_PLACE}|{FSCK}", lambda a, name=name: a.places("data/team", name))

for name in (b"Foo", b"TEAM", b"..", b".git", b"nul", b"x.lock", b"a\nb", b"-x", "é".encode(), b"team.json"):
    case(f"a namespace {name!r}", f"{NO_PLACE}|{FSCK}",
         lambda a, name=name: a.places("data", name, a.objects.tree({b"x.json": (FILE, a.objects.blob(b"{}"))}), TREE)
         )  # fmt: skip
for name in (b"Team.json", b"x", b"..", b"con.json", b"a/b.json"):
    case(f"an organization {name!r}", f"{NO_PLACE}|{FSCK}", lambda a, name=name: a.places("namespaces", name))
case("another schema", NO_PLACE, lambda a: a.places("schemas", b"token.schema.json"))
case("a directory in namespaces", NO_PLACE, lambda a: a.places("namespaces", b"x", a.objects.tree({}), TREE))


# --- trees


def many_files(a: Attack) -> Answer:
    blob = a.objects.blob(b"{}")
    crowd = a.objects.tree({b"r%06d.json" % number: (FILE, blob) for number in range(100_000)})
    return a.places("data", b"crowd", crowd, TREE)


def many_namespaces(a: Attack) -> Answer:
    one = a.objects.tree({b"x.json": (FILE, a.objects.blob(b"{}"))})
    return a.places("", b"data", a.objects.tree({b"n%06d" % n: (TREE, one) for n in range(100_000)}), TREE)


def bomb(a: Attack) -> Answer:
    below = a.objects.tree({b"x.json": (FILE, a.objects.blob(b"{}"))})
    for _ in range(12):
        below = a.objects.tree({b"d%d" % number: (TREE, below) for number in range(10)})
    return a.places("data", b"bomb", below, TREE)


def deep(a: Attack) -> Answer:
    below = a.objects.tree({b"x.json": (FILE, a.objects.blob(b"{}"))})
    for _ in range(1500):
        below = a.objects.tree({b"d": (TREE, below)})
    return a.places("data", b"deep", below, TREE)


def raw_tree(*entries: tuple[bytes, bytes]) -> Callable[[Attack], Answer]:
    def attack(a: Attack) -> Answer:
        blob = a.objects.blob(json.dumps(document("odd", "a")).encode())
        return a.places("data", b"odd", a.objects.tree([(mode, name, blob) for mode, name in entries]), TREE)

    return attack


case("100,000 files", "and at least 950 more", many_files)
case("100,000 namespaces", "and at least", many_namespaces)
case("a tree bomb", NO_PLACE, bomb)
case("1,500 levels", f"{NO_PLACE}|too deep|exceeds", deep)
case("an empty namespace", "is an empty directory", lambda a: a.places("data", b"ghost", a.objects.tree({}), TREE))
case("a name twice", FSCK, raw_tree((FILE, b"a.json"), (FILE, b"a.json")))
case("out of order", FSCK, raw_tree((FILE, b"b.json"), (FILE, b"a.json")))
case("a slash in a name", FSCK, raw_tree((FILE, b"a/b.json")))
case("a nameless file", FSCK, raw_tree((FILE, b"")))
case("a null id", FSCK, lambda a: a.places("data/team", b"x.json", NOTHING))
case("all of data gone", "needs an owner|is no place", lambda a: a.commits(
    a.objects.tree({name: entry for name, entry in a.objects.entries().items() if name != b"data"})))  # fmt: skip
case("nothing at all", "needs an", lambda a: a.commits(a.objects.tree({})))


# --- documents

JSON = {
    "a key twice": b'{"namespace": "team", "namespace": "team", "repo_name": "web"}',
    "NaN": b'{"namespace": "team", "repo_name": "web", "download": NaN}',
    "Infinity": b'{"namespace": "team", "repo_name": "web", "download": Infinity}',
    "1e999": b'{"namespace": "team", "repo_name": "web", "download": 1e999}',
    "2^64": b'{"namespace": "team", "repo_name": "web", "download": 18446744073709551616}',
    "5,000 digits": b'{"namespace": "team", "repo_name": "web", "download": ' + b"9" * 5000 + b"}",
    "1,000 levels": b"[" * 1000 + b"]" * 1000,
    "half a surrogate pair": b'{"namespace": "team", "repo_name": "web", "description": "\\ud800"}',
    "an escaped NUL": b'{"namespace": "team", "repo_name": "web", "description": "\\u0000"}',
    "a BOM": b'\xef\xbb\xbf{"namespace": "team", "repo_name": "web"}',
    "bad UTF-8": b'{"namespace": "team", "repo_name": "web", "description": "\xff"}',
    "more after the end": b'{"namespace": "team", "repo_name": "web"} {}',
    "null": b"null",
    "a number": b"1",
    "an array": b"[]",
    "no bytes": b"",
    "a prototype": b'{"namespace": "team", "repo_name": "web", "__proto__": {"is_public": true}}',
    "9 MB": b'{"namespace": "team", "repo_name": "web", "description": "' + b"x" * (9 << 20) + b'"}',
    "markup of git": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "another namespace": json.dumps(document("alien", "web")).encode(),
    "another name": json.dumps(document("team", "thing")).encode(),
    "a name with a newline": json.dumps(document("team", "web\n")).encode(),
    "terminal escapes": b'{"namespace": "team", "repo_name": "web", "\\u001b[31mred": 1}',
}
for name, data in JSON.items():
    case(f"a document of {name}", "data/team/web.json:", lambda a, data=data: a.places("data/team", b"web.json", data))


# --- rights

case("no rights in the namespace", "needs a writer of the namespace alien",
     lambda a: a.places("data/alien", b"thing.json", json.dumps(document("alien", "thing")).encode()))  # fmt: skip
case("oneself as owner", "needs an owner of the namespace team", lambda a: a.places(
    "namespaces", b"team.json", json.dumps({"namespace": "team", "owners": ["mallory"]}).encode()))  # fmt: skip
case("an organization of one's own", "needs an admin", lambda a: a.places(
    "namespaces", b"mine.json", json.dumps({"namespace": "mine", "owners": ["mallory"]}).encode()))  # fmt: skip
case("a schema that allows all", "only an admin changes",
     lambda a: a.places("schemas", b"repository.schema.json"))  # fmt: skip
case("stars", "/repo_starred_count: is kept", lambda a: a.writes(repo_starred_count=10**6))
case("a repository of old", "/created_at: is kept", lambda a: a.writes(created_at="1999-01-01T00:00:00.000Z"))


def private_by_id(a: Attack) -> Answer:
    """To read somebody's document by making it one's own, for whoever knows the id."""
    blob = git(a.served.root, "rev-parse", "main:data/alien/thing.json").strip()
    return a.places("data/team", b"mine.json", blob)


def owner_for_a_moment(a: Attack) -> Answer:
    """To make oneself an owner in one commit, act in the next, and leave no trace in the last."""
    was = a.objects.entries("namespaces")[b"team.json"][1]
    blob = a.objects.blob(json.dumps({"namespace": "team", "owners": ["mallory", "olga"]}).encode())
    first = a.objects.commit(a.objects.with_entry("namespaces", b"team.json", FILE, blob), a.head)
    last = a.objects.commit(a.objects.with_entry("namespaces", b"team.json", FILE, was), first)
    return a.sends(last)


def by_a_merged_branch(a: Attack) -> Answer:
    """The same by a merge whose own difference nobody would look at."""
    blob = a.objects.blob(json.dumps({"namespace": "team", "owners": ["mallory"]}).encode())
    root = a.objects.with_entry("namespaces", b"team.json", FILE, blob)
    side = a.objects.commit(root, a.head)
    return a.sends(a.objects.commit(root, a.head, side))


def by_the_first_parent(a: Attack) -> Answer:
    """And with main as the second parent."""
    blob = a.objects.blob(json.dumps({"namespace": "team", "owners": ["mallory"]}).encode())
    root = a.objects.with_entry("namespaces", b"team.json", FILE, blob)
    orphan = a.objects.commit(root, message=b"From nowhere\n")
    return a.sends(a.objects.commit(root, orphan, a.head))


def in_the_history_of_another(a: Attack) -> Answer:
    """A commit that a merge takes back, to stand in the history of what one may not write."""
    blob = a.objects.blob(json.dumps(document("alien", "thing", description="was here")).encode())
    side = a.objects.commit(a.objects.with_entry("data/alien", b"thing.json", FILE, blob), a.head)
    return a.sends(a.objects.commit(a.good_root(), a.head, side))


def given_up(make_side: Callable[[Attack], str]) -> Callable[[Attack], Answer]:
    """A merge that has nothing of its branch, whose commits would still stand in the history of what they touch."""

    def attack(a: Attack) -> Answer:
        root = git(a.served.root, "rev-parse", "main^{tree}").strip()
        return a.sends(a.objects.commit(root, a.head, make_side(a)))

    return attack


def by_a_branch(directory: str, name: bytes, **fields: object) -> Callable[[Attack], str]:
    def side(a: Attack) -> str:
        blob = a.objects.blob(json.dumps(fields).encode())
        return a.objects.commit(a.objects.with_entry(directory, name, FILE, blob), a.head)

    return side


def by_a_branch_without_it(a: Attack) -> str:
    data = {name: entry for name, entry in a.objects.entries("data").items() if name != b"alien"}
    root = a.objects.tree({**a.objects.entries(), b"data": (b"40000", a.objects.tree(data))})
    return a.objects.commit(root, a.head)


def from_nowhere(a: Attack) -> str:
    blob = a.objects.blob(json.dumps(document("alien", "thing")).encode())
    inner = a.objects.tree({b"thing.json": (FILE, blob)})
    data = a.objects.tree({b"alien": (b"40000", inner)})
    return a.objects.commit(a.objects.tree({b"data": (b"40000", data)}))


def by_a_merge_on_a_branch(a: Attack) -> str:
    blob = a.objects.blob(json.dumps(document("alien", "thing")).encode())
    side = a.objects.commit(a.good_root(), a.head)
    return a.objects.commit(a.objects.with_entry("data/alien", b"thing.json", FILE, blob), side, older(a))


ALIEN = document("alien", "thing", is_public=True)
GIVEN_UP: dict[str, tuple[str, Callable[[Attack], str]]] = {
    "a change": ("needs a writer of the namespace alien", by_a_branch("data/alien", b"thing.json", **ALIEN)),
    "a deletion": ("needs an owner of the namespace alien", by_a_branch_without_it),
    "a root": ("needs a writer of the namespace alien", from_nowhere),
    "a merge": ("needs a writer of the namespace alien", by_a_merge_on_a_branch),
    "an owner": ("needs an owner of the namespace team",
                 by_a_branch("namespaces", b"team.json", namespace="team", owners=["mallory"])),
    "an organization": ("needs an admin",
                        by_a_branch("namespaces", b"mine.json", namespace="mine", owners=["mallory"])),
}  # fmt: skip
for name, (words, make_side) in GIVEN_UP.items():
    case(f"{name} that a merge gives up", words, given_up(make_side))

case("a mark in another's history", "needs a writer of the namespace alien", in_the_history_of_another)
case("somebody's private document by its id", "/namespace: must be", private_by_id)
case("an owner for a moment", "needs an owner of the namespace team", owner_for_a_moment)
case("an owner by a merged branch", "needs an owner of the namespace team", by_a_merged_branch)
case("an owner by the first parent", "needs an owner of the namespace team|only an admin", by_the_first_parent)


# --- commits

ME = b"mallory <mallory@users.noreply.catalogd.invalid>"
COMMITS: dict[str, tuple[str, dict[str, bytes]]] = {
    "a forged author": ("its author is admin <", {"author": b"admin <admin@example.org>", "committer": ME}),
    "another's commit": ("its author and committer is admin <", {"author": b"admin <admin@example.org>"}),
    "a forged committer": ("its committer is admin <", {"committer": b"admin <admin@example.org>"}),
    "the catalog as committer": ("only the catalog itself", {"committer": b"catalogd <catalogd@localhost>"}),
    "the catalog as author": ("only the catalog itself", {"author": b"Catalogd <x@y>", "committer": ME}),
    "the catalog's address": ("only the catalog itself", {"committer": b"x <CATALOGD@localhost>"}),
    "an author of 2099": ("author is in the future", {"when": b"4087000000 +0000", "committed": b"1700000000 +0000"}),
    "a committer of 2099": ("committer is in the future", {"committed": b"4087000000 +0000"}),
    "the end of time": (f"in the future|{FSCK}", {"when": b"9223372036854775807 +0000"}),
    "after the end of time": (f"malformed|{FSCK}", {"when": b"92233720368547758070 +0000"}),
    "a committer of 1970": ("before that of the commit on which it stands", {"committed": b"1 +0000"}),
    "a negative date": (f"malformed|{FSCK}", {"when": b"-1 +0000"}),
    "no date": (f"malformed|{FSCK}", {"when": b"now +0000"}),
    "a strange time zone": (f"malformed|{FSCK}", {"when": b"1700000000 +00000"}),
    "a name of 1,000 characters": ("is too long", {"committer": b"n" * 1000 + b" <x@y>"}),
    "a name with an escape": ("cannot be shown", {"author": b"m\x1b[31m <x@y>", "committer": ME}),
    "a name of no UTF-8": ("cannot be shown", {"author": b"m\xff <x@y>", "committer": ME}),
    "a name that turns round": ("cannot be shown", {"author": "m\u202e <x@y>".encode(), "committer": ME}),
    "no name": (f"its author is|{FSCK}", {"author": b"<x@y>", "committer": ME}),
    "two addresses": (f"malformed|{FSCK}", {"author": b"m <x@y> <z@y>", "committer": ME}),
    "the catalog's action": ('a line "Catalog-Action:"', {"message": b"x\n\nCatalog-Action: create team/web\n"}),
    "a request's id": ('a line "request-id:"', {"message": b"x\n\nrequest-id: 1\n"}),
    "a batch of activity": ('a line "Activity-Batch:"', {"message": b"Activity-Batch: 99\n"}),
    "a delivery of a registry": ('a line "Registry-Delivery:"', {"message": b"x\n\nRegistry-Delivery: 1\n"}),
    "a message with an escape": ("control character (U+001B)", {"message": b"\x1b]0;x\x07\n"}),
    "a message with NUL": (f"control character|{FSCK}", {"message": b"x\0Activity-Batch: 1\n"}),
    "a message of no UTF-8": ("not in UTF-8", {"message": b"\xff\xfe\n"}),
    "a message in another encoding": ("not in UTF-8", {"headers": b"encoding UTF-16\n"}),
    "a message of 1 MB": ("bytes", {"message": b"x" * (1 << 20)}),
}  # fmt: skip
for name, (words, more) in COMMITS.items():
    case(name, words, lambda a, more=more: a.commits(a.good_root(), **more))


def no_committer(a: Attack) -> Answer:
    root = a.good_root()
    return a.sends(a.objects.add("commit", b"tree %s\nparent %s\n\nx\n" % (root.encode(), a.head.encode())))


def many_commits(a: Attack) -> Answer:
    root, parent = git(a.served.root, "rev-parse", "main^{tree}").strip(), a.head
    for _ in range(10_001):
        parent = a.objects.commit(root, parent)
    return a.sends(parent)


def many_bytes(a: Attack) -> Answer:
    """Documents of 8 MB, of which a pack has some KB each."""
    team = a.objects.entries("data/team")
    for number in range(20):
        data = json.dumps(document("team", f"l{number}")).encode()
        team[b"l%d.json" % number] = FILE, a.objects.blob(data + b" " * ((8 << 20) - len(data)))
    return a.places("data", b"team", a.objects.tree(team), TREE)


def many_objects(a: Attack) -> Answer:
    new = a.objects.commit(a.good_root(), a.head)
    more = (record("blob", b"%d" % number) for number in range(300_000))
    return a.sends(new, pack_of([*(record(*made) for made in a.objects.made.values()), *more]))


def long_messages(a: Attack) -> Answer:
    root, parent = git(a.served.root, "rev-parse", "main^{tree}").strip(), a.head
    for _ in range(700):
        parent = a.objects.commit(root, parent, message=b"x" * 60_000)
    return a.sends(parent)


def tagged(a: Attack) -> Answer:
    commit = a.objects.commit(a.good_root(), a.head)
    tag = b"object %s\ntype commit\ntag v1\ntagger %s 1700000000 +0000\n\nx\n" % (commit.encode(), ME)
    return a.sends(a.objects.add("tag", tag))


case("no author and no committer", FSCK, no_committer)
case("10,001 commits", "more than 10,000 commits", many_commits)
case("a tag for a commit", "is no commit|non-commit", tagged)
case("a tree for a commit", "is no commit|non-commit", lambda a: a.sends(a.good_root()))
case("a blob for a commit", "is no commit|non-commit", lambda a: a.sends(a.objects.blob(b"{}")))
case("20 documents of 8 MB", "more than is checked at once", many_bytes)
case("300,000 objects", "more than 250,000 objects", many_objects)
case("messages of 40 MB", "The messages of the push", long_messages)
case("a history of its own", "main only grows", lambda a: a.sends(a.objects.commit(a.good_root())))
case(
    "a missing parent",
    "cannot read|unpack|missing",
    lambda a: a.sends(a.objects.commit(a.good_root(), a.head, MISSING)),
)
case("a missing tree", "missing|unpack|cannot read|did not receive", lambda a: a.commits(MISSING))
case("a missing document", "missing|unpack|did not receive", lambda a: a.places("data/team", b"x.json", MISSING))
case("a missing namespace", "missing|unpack|did not receive", lambda a: a.places("data", b"x", MISSING, TREE))


# --- refs

REFS = [
    b"refs/tags/x", b"refs/heads/main/x", b"HEAD", b"refs/heads/-x", b"refs/heads/$(id)", b"refs/heads/../../x",
    b"refs/heads/a\nb", b"refs/heads/a b", b"refs/notes/commits", b"refs/replace/" + b"5" * 40, b"refs/pull/1/head",
    b"refs/heads/Main", b"refs/heads/main.lock", b"refs/catalogd/x", b"main", b"../config", b"refs/heads/\xff",
    b"refs/heads/" + b"n" * 4096, b"refs/for/other", b"refs/for/main/x", b"refs/for/Main", b"refs/remotes/origin/main",
]  # fmt: skip
for ref in REFS:
    case(f"the ref {ref[:20]!r}", "only main can be pushed|must be two ids",
         lambda a, ref=ref: a.sends(a.objects.commit(a.good_root(), a.head), ref=ref, old=NOTHING))  # fmt: skip


def several(*refs: bytes) -> Callable[[Attack], Answer]:
    def attack(a: Attack) -> Answer:
        new = a.objects.commit(a.good_root(), a.head)
        commands = [(a.head if ref == MAIN else NOTHING, new, ref) for ref in refs]
        return post(a.client, body_of(commands, a.objects.pack()))

    return attack


def older(a: Attack) -> str:
    return git(a.served.root, "rev-list", "--max-parents=0", "main").split()[0]


case("main deleted", "cannot be deleted", lambda a: a.sends(NOTHING, b""))
case("main forced", "main only grows", lambda a: a.sends(older(a), pack_of([])))
case("main as it was before", "main has moved since",
     lambda a: a.sends(a.objects.commit(a.good_root(), older(a)), old=older(a)))  # fmt: skip
case("main made anew", "main has moved since",
     lambda a: a.sends(a.objects.commit(a.good_root(), a.head), old=NOTHING))  # fmt: skip
case("main and a tag", "only main can be pushed", several(MAIN, b"refs/tags/x"))
case("main twice", "more than once|multiple updates|refs/heads/main", several(MAIN, MAIN))
case("5,000 refs", "only main can be pushed", several(*(b"refs/heads/b%d" % number for number in range(5000))))
case("50,000 refs", "too many refs", several(*(b"refs/heads/b%d" % number for number in range(50_000))))


# --- packs


def packed(change: Callable[[bytes], bytes]) -> Callable[[Attack], Answer]:
    def attack(a: Attack) -> Answer:
        new = a.objects.commit(a.good_root(), a.head)
        return a.sends(new, change(a.objects.pack()))

    return attack


def with_more(*records: bytes) -> Callable[[Attack], Answer]:
    def attack(a: Attack) -> Answer:
        new = a.objects.commit(a.good_root(), a.head)
        return a.sends(new, pack_of([*(record(*made) for made in a.objects.made.values()), *records]))

    return attack


UNPACK = "unpack|index-pack|fatal"
case("a truncated pack", UNPACK, packed(lambda pack: pack[:-30]))
case("half a header", UNPACK, packed(lambda pack: pack[:6]))
case("no pack", UNPACK, packed(lambda pack: b""))
case("no PACK", UNPACK, packed(lambda pack: b"KCAP" + pack[4:]))
case("a corrupted pack", UNPACK, packed(lambda pack: pack[:40] + bytes([pack[40] ^ 255]) + pack[41:]))
case("another checksum", UNPACK, packed(lambda pack: pack[:-20] + bytes(20)))
case("more than it says", UNPACK, packed(lambda pack: pack[:8] + struct.pack(">I", 1) + pack[12:]))
case("less than it says", UNPACK, packed(lambda pack: pack[:8] + struct.pack(">I", 99) + pack[12:]))
case("4 billion objects", UNPACK, packed(lambda pack: pack[:8] + b"\xff" * 4 + pack[12:]))
case("version 9", UNPACK, packed(lambda pack: pack[:4] + struct.pack(">I", 9) + pack[8:]))
case("bytes after the pack", UNPACK, packed(lambda pack: pack + b"more"))
case("no objects", "is no commit|missing|unpack|cannot read", packed(lambda pack: pack_of([])))
case("a delta on nothing", UNPACK,
     with_more(size_of(7, 3) + bytes.fromhex(MISSING) + zlib.compress(b"\0\0\0")))  # fmt: skip
case("a delta that grows without end", UNPACK,
     with_more(record("blob", b"x"), size_of(6, 9) + b"\x0c" + zlib.compress(b"\x01" + b"\xff" * 6 + b"\x7f\x90"))
     )  # fmt: skip
case("a size of 2^60", UNPACK, with_more(size_of(2, 1 << 60) + zlib.compress(b"x")))
case("a tree of 3 GB", f"{UNPACK}|bytes", with_more(size_of(2, 3 << 30) + zlib.compress(b"x")))
case("a stowaway", "1 objects that no commit of it uses", with_more(record("blob", b"anything at all")))
case("a bomb as a stowaway", f"{UNPACK}|no commit of it uses",
     lambda a: with_more(record("blob", bytes(300 << 20)))(a))  # fmt: skip


# --- HTTP


def sent(body: bytes, **headers: str) -> Callable[[Attack], Answer]:
    return lambda a: post(a.client, body, **headers)


def certificate(a: Attack) -> Answer:
    new = a.objects.commit(a.good_root(), a.head)
    lines = [
        b"push-cert\0report-status side-band-64k", b"certificate version 0.1\n", b"pusher x <x@y> 1700000000 +0000\n",
        b"nonce \n", b"\n", b"%s %s refs/heads/main\n" % (a.head.encode(), new.encode()),
        b"-----BEGIN PGP SIGNATURE-----\n", b"push-cert-end\n",
    ]  # fmt: skip
    return post(a.client, b"".join(map(packet, lines)) + b"0000" + a.objects.pack())


def raw(head: str, body: bytes = b"") -> Callable[[Attack], Answer]:
    def attack(a: Attack) -> Answer:
        lines = f"{head}\r\nHost: x\r\nAuthorization: {a.client.authorization}\r\n"
        reply = a.served.raw(lines.encode() + body, timeout=3)
        return Answer(int(reply.split()[1]), reply.partition(b"\r\n\r\n")[2].decode(), "")

    return attack


CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
KIND = f"Content-Type: {TYPE}\r\n".encode()
case("another type", "Content-Type must be", sent(b"0000", Content_Type="application/json"))
case("the type of a fetch", "Content-Type must be",
     sent(b"0000", Content_Type="application/x-git-upload-pack-request"))  # fmt: skip
case("no packet lines", "packet lines", sent(b"hello, world"))
case("half a packet line", "ends within a packet line", sent(b"00ff" + b"x"))
case("an endless packet line", "ends within a packet line", sent(b"ffff"))
case("a packet line of 1", "packet lines", sent(b"0001"))
case("another command", "must be two ids", sent(packet(b"rm -rf / x\0") + b"0000"))
case("no end of the commands", "packet lines",
     lambda a: post(a.client, body_of([(a.head, MISSING, MAIN)])[:-4]))  # fmt: skip
case("a push certificate", "Signed pushes are not taken", certificate)
case("a gzip bomb", "more than 67108864 bytes",
     lambda a: post(a.client, gzip.compress(bytes(256 << 20), 1), Content_Encoding="gzip"))  # fmt: skip
case("half a gzip", "no whole gzip", sent(gzip.compress(b"0000" * 99)[:-9], Content_Encoding="gzip"))
case("1 GB", "reads at most 67108864 bytes",
     raw(f"POST {PATH} HTTP/1.1", KIND + b"Content-Length: 1000000000\r\n\r\n"))  # fmt: skip
case("chunks without end", "reads at most 67108864 bytes",
     raw(f"POST {PATH} HTTP/1.1", KIND + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 1025))  # fmt: skip
case("9 MB without credentials", "reads at most 8388608 bytes",
     lambda a: post(a.served.anonymous(), bytes(9 << 20)))  # fmt: skip
case("no credentials", "Credentials are needed", lambda a: post(a.served.anonymous(), b"0000"))
case("9 MB for a fetch", "reads at most 8388608 bytes",
     raw("POST /catalog.git/git-upload-pack HTTP/1.1", b"Content-Length: 9000000\r\n\r\n"))  # fmt: skip
case("a page of another site", "another site", sent(b"0000", Origin="https://evil.example"))


@pytest.fixture(scope="module")
def attacked(shared: Served) -> Served:
    admin = shared.client()
    for name in ("olga", "mallory"):
        assert admin.post("/v1/users", {"name": name}).status == 201
    assert admin.post("/v1/namespaces", {"namespace": "team", "owners": ["olga"], "writers": ["mallory"]}).status == 201
    assert admin.post("/v1/repositories/team", {"repo_name": "web"}).status == 201
    assert admin.post("/v1/repositories/alien", {"repo_name": "thing", "is_public": False}).status == 201
    shared.settle()
    return shared


@pytest.fixture(scope="module")
def mallory(attacked: Served) -> Client:
    made = attacked.run("token", "create", "mallory", "--scope", "write", "--scope", "catalog")
    return attacked.client(made.out.strip())


@pytest.fixture(scope="module")
def before(attacked: Served) -> dict[str, str]:
    return state(attacked)


def state(served: Served) -> dict[str, str]:
    """All that a push could have left behind."""
    return {
        "refs": git(served.root, "for-each-ref") + (served.root / ".git/HEAD").read_text(),
        "objects": git(served.root, "cat-file", "--batch-all-objects", "--batch-check"),
        "configuration": (served.root / ".git/config").read_text(),
        "files": git(served.root, "status", "--porcelain", "--ignored"),
    }


@pytest.fixture
def attack(attacked: Served, mallory: Client, before: dict[str, str]) -> Iterator[Attack]:
    head = git(attacked.root, "rev-parse", "main").strip()
    yield Attack(attacked, mallory, Objects(attacked), head)


def test_there_are_more_than_a_hundred() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_a_message_and_leaves_nothing(attack: Attack, name: str) -> None:
    send, words = CASES[name]
    began = time.monotonic()
    answer = send(attack)
    assert time.monotonic() - began < 45  # of a machine that does other things, too
    said = answer.told + answer.report
    assert 400 <= answer.status < 500 or (answer.status == 200 and "ok refs/" not in answer.report), answer
    assert any(word in said for word in words.split("|")), said
    assert not set(said) & set(map(chr, (*range(9), 27, 127))), "nothing that a terminal would obey"
    assert len(said) < 100_000 or name == "5,000 refs"
    assert (attack.served.root / ".git/refs/heads/main").read_text().strip() == attack.head
    scratch = attack.served.root / ".git/catalogd/scratch"
    assert not list(scratch.glob("*-push-*"))


def endless(a: Attack) -> bytes:
    """A push of some 2 MB whose objects git needs hours to make: each is 16 MB, by a delta of 30 bytes."""
    base = bytes(16 << 20)
    base_id = bytes.fromhex(hashlib.sha1(b"blob %d\0" % len(base) + base).hexdigest())
    records = [record("blob", base)]
    for number in range(40_000):
        # gitformat-pack, "Deltified representation": sizes of base and result, copy 0xffffff bytes, insert 8.
        delta = b"\x80\x80\x80\x08" + b"\x87\x80\x80\x08" + b"\xf0\xff\xff\xff" + b"\x08%08d" % number
        records.append(size_of(7, len(delta)) + base_id + zlib.compress(delta, 0))
    new = a.objects.commit(a.good_root(), a.head)
    return body_of([(a.head, new, MAIN)], pack_of([*records, *(record(*made) for made in a.objects.made.values())]))


def test_pushes_that_take_long_leave_git_to_others_and_end_in_time(attack: Attack, attacked: Served) -> None:
    body = endless(attack)
    head = "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
    request = head.format(PATH, attack.client.authorization, TYPE, len(body)).encode() + body
    connections = [socket.create_connection(attacked.address) for _ in range(4)]
    try:
        for connection in connections:
            connection.sendall(request)
        unpacking = wait_for(lambda: git_processes(attacked, "index-pack"), 10, "git unpacks")
        limit = re.search(r"Max cpu time +(\d+)", (unpacking[0] / "limits").read_text())
        assert limit, "git would unpack until its time is up, on all processors"
        assert int(limit[1]) <= 60
        reply = attacked.anonymous().get("/public.git/info/refs?service=git-upload-pack")
        assert reply.status == 200, reply.body
    finally:
        for connection in connections:
            connection.close()
    wait_for(lambda: not git_processes(attacked, "index-pack"), 10, "no git unpacks what nobody waits for")


def git_processes(served: Served, command: str) -> list[Path]:
    """The processes of git that run a command on the catalog, in /proc."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            place = os.readlink(process / "cwd")
        except OSError:  # it has just ended
            continue
        if command.encode() in words and place.startswith(str(served.root)):
            found.append(process)
    return found


def test_after_all_of_them_the_store_is_as_it_was_and_as_quick(
    attacked: Served, before: dict[str, str], attack: Attack
) -> None:
    wait_for(lambda: not children_of(attacked), 10, "no git child is left")
    assert state(attacked) == before
    assert git(attacked.root, "fsck", "--strict") == ""
    client = attacked.client()
    began = time.monotonic()
    for _ in range(50):
        assert client.get("/v1/repositories/team/web").status == 200
    assert time.monotonic() - began < 2
    # And mallory may still do what is right.
    answer = attack.commits(attack.good_root())
    assert "ok refs/heads/main" in answer.report, answer
