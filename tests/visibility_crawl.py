"""Asks everything that can be asked with GET, and compares each reply with what must be seen."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from falcon import testing
from visibility_model import Commit, Eyes, Proposal, document_path, markers_in
from visibility_story import OWN, REPO_NAME, TEAM, Name, Story, path_of

from catalogd.catalog import ORDERINGS
from catalogd.web.history import DIFF

_ORDERINGS = [sign + ordering for ordering in ORDERINGS for sign in ("", "-")]
_ALL_IN_ONE = {"page_size": "100"}
_NOT_THERE = "0" * 40
_OTHERS = (
    "/healthz", "/metrics", "/openapi.json", "/docs", "/static/images/user/default-logo.png", "/v1/nothing",
    "/v1/user", "/v1/user/tokens", "/v1/users", "/v1/users/olga", "/v1/sync", "/v2", "/v1/_ping",
)  # fmt: skip


class Crawl:
    """One caller's look at all there is. Whatever a reply has that must not be seen fails it at once."""

    def __init__(self, story: Story, eyes: Eyes, who: str | None):
        self.story = story
        self.eyes = eyes
        self.who = who
        self.past = eyes.past
        self.last = self.past.commits[-1]
        self.markers = eyes.markers()
        self.names = eyes.names()
        self.now = eyes.documents(self.last.seq)
        self.shown: set[str] = set()
        self.asked: set[str] = set()
        self._all_names = [name for name, _ in self.past.repositories()]
        self._headers = story.headers(who) | {"X-Request-Id": "crawl"}

    def briefly(self) -> None:
        """What is cheap and tells most: for after every step."""
        self._lists(("repo_name", "-updated_at"))
        self._searches(self._newest_of_each_kind())
        self._repositories()
        self._commits()
        self._feed()
        self._organizations()
        self._proposals()
        self._clients_of_registries(self._newest_of_each_kind())

    def thoroughly(self, *, pairs: bool = True) -> None:
        """Everything; `pairs`: also the differences between any two commits."""
        self._lists(_ORDERINGS)
        self._searches(sorted(self.past.markers))
        self._repositories()
        self._lists_in_the_past()
        self._repositories_in_the_past()
        if pairs:
            self._differences()
        self._commits()
        self._feed()
        self._organizations()
        self._proposals()
        self._proposed()
        self._stars()
        self._clients_of_registries(sorted(self.past.markers))
        self._registry_tokens()
        self._others()
        self._refusals()
        assert self.shown == self.markers, f"{self.who} was not shown {sorted(self.markers - self.shown)}"

    # Lists

    def _lists(self, orderings: Iterable[str]) -> None:
        for namespace in (None, TEAM, OWN, "nobody"):
            there = {name for name in self.now if namespace in (None, name[0])}
            for ordering in orderings:
                self._list(namespace, there, ordering=ordering)
            for flag in (True, False):
                chosen = {name for name in there if self.now[name].get("is_public", True) is flag}
                self._list(namespace, chosen, is_public=str(flag).lower())

    def _searches(self, markers: Iterable[str]) -> None:
        for marker in markers:
            self._list(None, {name for name, it in self.now.items() if marker in searched(it)}, search=marker)
            if marker.endswith("k"):
                there = {name for name, it in self.now.items() if marker in it.get("labels", {})}
                self._list(None, there, label=marker)
                self._list(TEAM, {name for name in there if name[0] == TEAM}, label=marker)

    def _lists_in_the_past(self) -> None:
        for commit in self.past.commits:
            there = self.eyes.documents(commit.seq)
            self._list(None, set(there), at=commit.id)
            self._list(None, set(there), at=commit.id, ordering="-download")
            self._list(TEAM, {name for name in there if name[0] == TEAM}, at=commit.id[:12])
            self._get("/v1/repositories", at=commit.time)
        for marker in self._newest_of_each_kind():
            for commit in self.past.commits:
                there = self.eyes.documents(commit.seq)
                found = {name for name, it in there.items() if marker in searched(it)}
                self._list(None, found, at=commit.id, search=marker)

    def _newest_of_each_kind(self) -> list[str]:
        """Of the markers that must not be seen."""
        hidden = sorted(self.past.markers - self.markers)
        return list({marker[-1]: marker for marker in hidden}.values())

    def _list(self, namespace: str | None, expected: set[Name], **query: str) -> None:
        path = "/v1/repositories" if namespace is None else f"/v1/repositories/{namespace}"
        rows = self._pages(path, 2 if len(expected) < 4 else 3, **query)
        assert sorted((row["namespace"], row["repo_name"]) for row in rows) == sorted(expected), (self.who, path, query)

    # Repositories

    def _repositories(self) -> None:
        for name in self._all_names:
            path, document = path_of(name), self.now.get(name)
            for part in ("", "/tags", "/blame"):
                reply = self._get(path + part)
                assert reply.status_code == (404 if document is None else 200), (self.who, path + part)
            self._history(name)
            self._get(f"{path}/diff")
            self._get(f"{path}/diff", accept=DIFF)

    def _history(self, name: Name) -> None:
        versions = self.eyes.seen(document_path(name))
        reply = self._get(f"{path_of(name)}/history", **_ALL_IN_ONE)
        assert reply.status_code == (200 if versions else 404), (self.who, name)
        if not versions:
            return
        rows = self._pages(f"{path_of(name)}/history", 2)
        commits = [self.past.commits[version.seq] for version in reversed(versions)]
        assert [row["commit"] for row in rows] == [commit.id for commit in commits]
        for row, commit in zip(rows, commits, strict=True):
            assert bool(row["message"]) == self.eyes.sees_all_of(commit), (self.who, name, row)
        if name in self.now:
            blamed = {field["commit"] for field in self._get(f"{path_of(name)}/blame").json.values()}
            assert blamed <= {commit.id for commit in commits}

    def _repositories_in_the_past(self) -> None:
        tags = sorted(marker for marker in self.past.markers if marker.endswith("t"))
        for name, commit in itertools.product(self._all_names, self.past.commits):
            document = self.eyes.documents(commit.seq).get(name)
            for part in ("", "/tags"):
                reply = self._get(path_of(name) + part, at=commit.id)
                assert reply.status_code == (404 if document is None else 200), (self.who, name, commit)
            self._get(path_of(name), at=commit.time)
            for tag in tags[-3:]:
                self._get(f"{path_of(name)}/tags/{tag}", at=commit.id)
        for name, tag in itertools.product(self._all_names, tags):
            self._get(f"{path_of(name)}/tags/{tag}")

    def _differences(self) -> None:
        for name in self._all_names:
            path = f"{path_of(name)}/diff"
            for one, other in itertools.permutations(self.past.commits, 2):
                self._get(path, **{"from": one.id, "to": other.id})
            for commit in self.past.commits:
                self._get(path, accept=DIFF, **{"from": commit.id})
                self._get(path, accept=DIFF, to=commit.id)

    # The catalog as a whole

    def _commits(self) -> None:
        expected = list(reversed(self.eyes.commits()))
        rows = self._pages("/v1/commits", 3)
        assert [row["commit"] for row in rows] == [commit.id for commit in expected], self.who
        for commit in self.past.commits:
            self._commit(commit)

    def _commit(self, commit: Commit) -> None:
        seen = self.eyes.paths(commit)
        reply = self._get(f"/v1/commits/{commit.id}")
        self._get(f"/v1/commits/{commit.id[:9]}", page_size="1")
        assert reply.status_code == (200 if seen else 404), (self.who, commit)
        if seen:
            assert reply.json["count"] == len(reply.json["changes"]) == len(seen)
            assert bool(reply.json["message"]) == self.eyes.sees_all_of(commit), (self.who, commit)

    def _feed(self) -> None:
        for commit in self.past.commits:
            # What was public then is told to be gone, whatever it has become since.
            told = {repo_name for _, repo_name in self.eyes.could_see_at(commit.seq)}
            rows = self._get("/v1/changes", told, since=commit.id).json["results"]
            assert {(row["repo_name"], row["action"]) for row in rows} == self.eyes.changes(commit.seq), self.who
            assert all((row["document"] is None) == (row["action"] == "deleted") for row in rows)

    def _organizations(self) -> None:
        rows = self._pages("/v1/namespaces", 1)
        one, history = self._get(f"/v1/namespaces/{TEAM}"), self._get(f"/v1/namespaces/{TEAM}/history")
        is_member = TEAM in self.eyes.namespaces
        assert len(rows) == (self.past.organization() is not None)
        assert all(("owners" in row) == is_member for row in [*rows, one.json]), self.who
        assert (history.status_code == 200) == is_member, self.who

    def _proposals(self) -> None:
        seen = self.eyes.proposals()
        newest_first = sorted((proposal.number for proposal in seen), reverse=True)
        rows = self._pages("/v1/proposals", 2, state="all")
        assert [row["number"] for row in rows] == newest_first, self.who
        for proposal in self.past.proposals:
            path = f"/v1/proposals/{proposal.number}"
            for reply in (self._get(path), self._get(f"{path}/diff"), self._get(f"{path}/diff", accept=DIFF)):
                assert reply.status_code == (200 if proposal in seen else 404), (self.who, path)

    def _proposed(self) -> None:
        """What the repositories would be."""
        seen = self.eyes.proposals()
        tags = sorted(marker for marker in self.past.markers if marker.endswith("t"))
        for proposal, name in itertools.product(self.past.proposals, self._all_names):
            parts = ("", "/tags", *(f"/tags/{tag}" for tag in tags[-2:]))
            replies = [self._get(path_of(name) + part, at=f"proposals/{proposal.number}") for part in parts]
            is_hidden = proposal not in seen or (name not in self.now and document_path(name) not in paths_of(proposal))
            assert not is_hidden or all(reply.status_code == 404 for reply in replies), (self.who, name, proposal)
            self._get(f"/v1/repositories/{name[0]}", at=f"proposals/{proposal.number}")
        for author, state in itertools.product((self.who or "nobody", "ada"), ("open", "merged", "closed")):
            self._pages("/v1/proposals", 2, author=author, state=state)
        for reviewer in ("olga", "mia", "bea"):
            self._pages("/v1/proposals", 2, reviewer=reviewer, namespace=TEAM)

    def _stars(self) -> None:
        reply = self._get("/v1/user/starred", **_ALL_IN_ONE)
        if reply.status_code == 200:
            starred = {name for user, name in self.story.stars if user == self.who}
            assert {(row["namespace"], row["repo_name"]) for row in reply.json["results"]} == starred & self.now.keys()
            assert reply.json["count"] == len(starred & self.now.keys())

    def _clients_of_registries(self, markers: Iterable[str]) -> None:
        names = {"/".join(name) for name in self.now}
        listed = self._get("/v2/_catalog").json["repositories"]
        assert set(listed) == names and len(listed) == len(names)
        for marker in (None, *markers):
            found = self._get("/v1/search", **({} if marker is None else {"q": marker})).json
            there = {"/".join(name) for name, it in self.now.items() if marker is None or marker in searched(it)}
            assert {result["name"] for result in found["results"]} == there, (self.who, marker)
            assert found["num_results"] == len(there)
        for name in self._all_names:
            reply = self._get(f"/v2/{'/'.join(name)}/tags/list")
            assert reply.status_code == (200 if name in self.now else 404), (self.who, name)

    def _others(self) -> None:
        for path in _OTHERS:
            self._get(path)
        for repository in ("catalog", "proposals", "public"):
            for service in ("git-upload-pack", "git-receive-pack"):
                self._get(f"/{repository}.git/info/refs", service=service)

    def _registry_tokens(self) -> None:
        """What one sees can be pulled; what one does not see is granted as what is not there."""
        for name in self._all_names:
            granted = self._granted(name)
            if name in self.now:
                assert granted == ["pull"], (self.who, name)
            else:
                assert granted == self._granted((name[0], "nothing")), (self.who, name)

    def _granted(self, name: Name) -> list[str]:
        """Of a token all that is not drawn by lot, as keys and signatures are: that may look like any name."""
        path, scoped = "/v1/registry/token", "/".join(name)
        query = urlencode({"scope": f"repository:{scoped}:pull"})
        reply = self.story.client.simulate_get(path, query_string=query, headers=self._headers)
        assert reply.status_code == 200, (self.who, reply.text)
        self.asked.add(path)
        token = reply.json["token"]
        assert reply.json.keys() == {"token", "access_token", "expires_in", "issued_at"}
        assert reply.json["access_token"] == token
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert claims.keys() == {"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "access"}
        assert [access["name"] for access in claims["access"]] in ([], [scoped])
        return claims["access"][0]["actions"] if claims["access"] else []

    def _refusals(self) -> None:
        """Replies that are errors, also to writes that would change nothing."""
        for path in ("/v1/repositories", "/v1/commits", f"/v1/repositories/{TEAM}"):
            assert self._get(path, page="9", page_size="100").status_code == 404
        for name in self._all_names:
            path = path_of(name)
            self._get(path, at=_NOT_THERE)
            self._get(path, at="never")
            self._get(f"{path}/history", page="99")
            self._get(f"{path}/tags/nothing")
            self._get(path, at="proposals/0")
            for method, part in (("PUT", ""), ("DELETE", ""), ("PUT", "/tags/nothing"), ("POST", "/rollback")):
                self._request(method, path + part, **{"If-Match": '"nothing"'})
        for proposal in self.past.proposals:
            path = f"/v1/proposals/{proposal.number}"
            for method, part in (("PATCH", ""), ("POST", "/reviews"), ("POST", "/reviews/7/dismiss")):
                self._request(method, path + part)
            if self.who is None:
                for part in ("/merge", "/close", "/reopen"):
                    self._request("POST", path + part)
        for commit in self.past.commits if self.who is None else ():
            assert self._request("POST", f"/v1/commits/{commit.id}/revert").status_code in (401, 404)

    # Requests

    def _pages(self, path: str, page_size: int, **query: str) -> list[dict[str, Any]]:
        """The rows of all pages, as their links lead from one to the next."""
        reply, rows = self._get(path, page_size=str(page_size), **query), []
        while True:
            assert reply.status_code == 200, (self.who, path, query, reply.text)
            rows += reply.json["results"]
            following = reply.json["next"]
            assert (following is not None) == ('rel="next"' in reply.headers.get("link", ""))
            if following is None:
                assert reply.json["count"] == len(rows)
                return rows
            reply = self._request("GET", path, query_string=following.partition("?")[2])

    def _get(
        self, path: str, names: Iterable[str] = (), accept: str = "application/json", **query: str
    ) -> testing.Result:
        return self._request("GET", path, names, query_string=urlencode(query), Accept=accept)

    def _request(
        self, method: str, path: str, names: Iterable[str] = (), query_string: str = "", **headers: str
    ) -> testing.Result:
        body = {} if method in ("PUT", "POST", "PATCH") else None
        reply = self.story.client.simulate_request(
            method, path, query_string=query_string, json=body, headers=self._headers | headers
        )
        assert reply.status_code < 500, reply.text
        self.asked |= {path} if method == "GET" else set()
        self._check(f"{method} {path}?{query_string}", reply, names)
        return reply

    def _check(self, asked: str, reply: testing.Result, names: Iterable[str]) -> None:
        """`names` may be told beside those that are to be seen, and so may whatever the caller has asked for."""
        told = f"{reply.status}\n{reply.headers}\n{reply.content.decode('latin-1')}"
        shown = markers_in(told) - markers_in(asked)
        assert shown <= self.markers, f"{self.who}: {asked} shows {sorted(shown - self.markers)}:\n{told}"
        named = set(REPO_NAME.findall(told)) - set(REPO_NAME.findall(asked))
        assert named <= {*self.names, *names}, f"{self.who}: {asked} names {sorted(named - self.names)}:\n{told}"
        self.shown |= shown


def paths_of(proposal: Proposal) -> set[str]:
    return {touched.path for touched in proposal.last}


def searched(document: dict[str, Any]) -> str:
    """What a search looks at."""
    return f"{document.get('description', '')} {document.get('full_description', '')}"
