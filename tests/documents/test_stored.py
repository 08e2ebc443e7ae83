"""A stored document is what its text says, and is parsed only when somebody looks into it."""

from __future__ import annotations

import json

import pytest

from catalogd.documents import Stored, name_of

DOCUMENT = {"namespace": "acme", "repo_name": "web", "description": "日本", "labels": {"a": "b"}}
STORED = Stored(("acme", "web"), json.dumps(DOCUMENT, ensure_ascii=False).encode())


def test_it_reads_as_the_document_does() -> None:
    assert STORED == DOCUMENT
    assert (STORED["labels"], STORED.get("none"), len(STORED), list(STORED)) == ({"a": "b"}, None, 4, list(DOCUMENT))
    assert STORED | {"labels": {}} == {**STORED, "labels": {}} == DOCUMENT | {"labels": {}}
    with pytest.raises(KeyError):
        STORED["none"]


def test_its_name_is_known_without_parsing_it() -> None:
    assert name_of(Stored(("acme", "web"), b"no JSON")) == name_of(DOCUMENT) == ("acme", "web")
