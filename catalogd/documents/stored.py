"""A document as it is stored, which is parsed only when somebody looks into it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


class Stored(Mapping[str, Any]):
    """The document of the repository `name`, (namespace, repo_name), in the JSON `text`, in UTF-8.

    Whoever has made something of a text before can tell by it that it would be the same again.
    """

    __slots__ = ("_members", "name", "text")

    def __init__(self, name: tuple[str, str], text: bytes):
        self.name = name
        self.text = text
        self._members: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        return self.parsed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parsed())

    def __len__(self) -> int:
        return len(self.parsed())

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other}

    def __repr__(self) -> str:
        return repr(self.parsed())

    def parsed(self) -> dict[str, Any]:
        """The document for who looks into it often; not to be changed."""
        if self._members is None:
            self._members = json.loads(self.text)
        return self._members


def name_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, repo_name)"""
    if isinstance(document, Stored):
        return document.name
    return document["namespace"], document["repo_name"]
