"""A registry that fails, hangs or lies takes nothing away, is given up in time, and learns no credentials of others."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from forked_program import PROGRAM
from pretended_registry import Answer, Asked, Pretended, pretended, said, unknown
from real_registry import image, index
from served_catalog import Served, environment, git, run, wait_for

from catalogd.catalog import Caller, Catalog
from catalogd.catalog.mending import Mend
from catalogd.cli.serving import _create
from catalogd.errors import RegistryFailed
from catalogd.registry.client import RegistryClient
from catalogd.registry.reconciling import IMPORT, REGISTRY, Reconciler, Report, Wanted
from catalogd.store import rfc3339

pytestmark = pytest.mark.slow

A, B, C = image("a"), image("b"), image("c")
BASIC = "Basic " + base64.b64encode(b"ada:secret").decode()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    _create(tmp_path / "catalog", with_sample=False)
    opened = Catalog.open(tmp_path / "catalog")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory) -> Iterator[Catalog]:
    """For tests that begin by comparing, whatever there is."""
    root = tmp_path_factory.mktemp("lasting") / "catalog"
    _create(root, with_sample=False)
    opened = Catalog.open(root)
    yield opened
    opened.close()


def compare(catalog: Catalog, url: str, *, timeout: float = 5.0, user: str = "", mint=None, **wanted) -> Report:
    with RegistryClient(url, user, "secret", timeout, mint=mint) as client:
        return Reconciler(catalog, client, lambda namespace: True, 4).run(Wanted(**wanted))


def digests(catalog: Catalog, name: str) -> dict[str, str]:
    return {tag: entry["digest"] for tag, entry in (catalog.held_tags(*name.split("/")) or {}).items()}


def listing(answer: Callable[[Pretended, Asked], Answer | None]) -> Callable[[Pretended, Asked], Answer | None]:
    """Only the list of repositories is answered so."""
    return lambda registry, asked: answer(registry, asked) if asked.path == "/v2/_catalog" else None


def page(registry: Pretended, asked: Asked, link: str) -> Answer:
    return said({"repositories": ["acme/web"]}, Link=f'<{link}>; rel="next"')


ALL = json.dumps({"repositories": ["acme/web"]}).encode()

FAULTS: dict[str, tuple[Callable[[Pretended, Asked], Answer | None], str]] = {
    "an error": (listing(lambda registry, asked: Answer(500)), "500"),
    "silence": (listing(lambda registry, asked: registry.hang()), "no answer came in time"),
    "a body that drips": (listing(lambda registry, asked: Answer(200, ALL, drip=0.2)), "took too long"),
    "half of the JSON": (listing(lambda registry, asked: Answer(200, ALL[:-5])), "no JSON"),
    "half of the body": (listing(lambda registry, asked: Answer(200, ALL, cut=5)), "broke off"),
    "another type": (listing(lambda registry, asked: said(["acme/web"])), "no JSON object"),
    "an object of names": (listing(lambda registry, asked: said({"repositories": {"a": 1}})), "no list"),
    "numbers for names": (listing(lambda registry, asked: said({"repositories": [1]})), "no name"),
    "a page of an HTML portal": (listing(lambda registry, asked: Answer(200, b"<html>Log in</html>")), "no JSON"),
    "a page that is its next": (listing(lambda r, asked: page(r, asked, f"/v2/_catalog?{asked.query}")), "do not end"),
    "endless pages": (listing(lambda r, asked: page(r, asked, f"/v2/_catalog?n={len(r.asked)}")), "do not end"),
    "a link elsewhere": (listing(lambda r, asked: page(r, asked, "http://localhost:1/v2/_catalog")), "leads out of"),
    "a second page that fails": (
        listing(lambda r, asked: Answer(500) if "last" in asked.query else page(r, asked, "/v2/_catalog?last=a")),
        "500",
    ),
    "a redirect elsewhere": (
        listing(lambda registry, asked: Answer(307, headers={"Location": "http://localhost:1/v2/_catalog"})),
        "redirects to http://localhost:1",
    ),
    "a redirect to itself": (
        listing(lambda registry, asked: Answer(307, headers={"Location": asked.path})),
        "on and on",
    ),
    "nesting without end": (listing(lambda registry, asked: Answer(200, b"[" * 200_000)), "no JSON"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_list_of_repositories_that_is_not_whole_changes_nothing(lasting, fault):
    catalog = lasting
    with pretended(acme__web={"1": A, "2": B}, acme__app={"1": A}) as registry:
        compare(catalog, registry.url)
        head = catalog.store.head()
        del registry.holds["acme/app"]
        answer, words = FAULTS[fault]
        registry.answer = lambda asked: answer(registry, asked)
        began = time.monotonic()
        with pytest.raises(RegistryFailed, match=re.escape(words)):
            compare(catalog, registry.url, timeout=0.3)
        assert time.monotonic() - began < 3
    assert catalog.store.head() == head


TAGS_FAULTS: dict[str, Callable[[], Answer]] = {
    "an error": lambda: Answer(503),
    "not found without a code": lambda: Answer(404),
    "not found for another reason": lambda: unknown("UNSUPPORTED"),
    "no list": lambda: said({"name": "acme/web"}),
    "another type": lambda: said({"tags": "1"}),
    "half of it": lambda: Answer(200, b'{"tags": ["1"]}', cut=3),
    "a first page whose next fails": lambda: said({"tags": ["1"]}, Link='</v2/acme/web/tags/list?last=1>; rel="next"'),
}


@pytest.mark.parametrize("fault", TAGS_FAULTS)
def test_where_tags_of_one_repository_cannot_be_listed_others_are_set_and_nothing_is_removed(lasting, fault):
    catalog = lasting
    with pretended(acme__web={"1": A, "2": B}, acme__app={"1": A, "2": A}) as registry:
        compare(catalog, registry.url)
        registry.holds["acme/app"] = {"1": B}

        def answer(asked: Asked) -> Answer | None:
            if asked.path != "/v2/acme/web/tags/list":
                return None
            return Answer(500) if "last" in asked.query else TAGS_FAULTS[fault]()

        registry.answer = answer
        report = compare(catalog, registry.url)
        assert (report.set, report.removed, report.count("failed")) == (1, 0, 1)
        assert report.withheld == "not all of the registry could be read"
        assert digests(catalog, "acme/web") == {"1": A.digest, "2": B.digest}
        assert digests(catalog, "acme/app") == {"1": B.digest, "2": A.digest}
        registry.answer = lambda asked: None
        assert compare(catalog, registry.url).removed == 1
        assert digests(catalog, "acme/app") == {"1": B.digest}


def test_a_registry_that_is_out_of_order_is_not_asked_for_all_of_its_repositories(catalog):
    with pretended() as registry:
        registry.holds = {f"acme/r{n}": {"1": A} for n in range(100)}
        for status, most in ((503, 40), (403, 100)):
            registry.asked.clear()
            registry.answer = lambda asked, status=status: Answer(status) if asked.path.endswith("list") else None
            if status == 503:
                with pytest.raises(RegistryFailed, match="not read any further"):
                    compare(catalog, registry.url, action=IMPORT)
            else:
                assert compare(catalog, registry.url, action=IMPORT).count("failed") == 100
            assert len(registry.listings()) <= most


def test_a_document_that_a_hand_has_broken_stays_and_holds_up_no_other(catalog):
    root = catalog.store.root
    with pretended(acme__web={"1": A, "2": A}, acme__app={"1": A, "2": A}) as registry:
        compare(catalog, registry.url)
        catalog.follow_index()
        (root / "data/acme/app.json").write_text("{broken")
        git(root, "commit", "-qam", "Break it", "--no-verify")
        catalog.notice()
        registry.holds["acme/web"] = {"1": B}
        report = compare(catalog, registry.url)
        assert (report.count("refused"), report.set, report.removed, report.is_whole) == (1, 1, 1, False)
    assert digests(catalog, "acme/web") == {"1": B.digest}
    assert (root / "data/acme/app.json").read_text() == "{broken"


def test_an_image_that_is_not_what_its_digest_says_leaves_the_tag_as_it_is(catalog):
    with pretended(acme__web={"1": A, "2": A}) as registry:
        compare(catalog, registry.url)
        registry.holds["acme/web"] = {"1": B, "2": C, "3": index((A, ""), (C, ""))}
        wrong = {"Content-Type": B.media_type, "Docker-Content-Digest": B.digest}
        lies = {
            f"/v2/acme/web/manifests/{B.digest}": Answer(200, A.manifest, wrong),
            f"/v2/acme/web/blobs/sha256:{C.image_id}": Answer(200, b"{}"),
        }
        registry.answer = lambda asked: lies.get(asked.path)
        report = compare(catalog, registry.url)
        assert (report.count("unread"), report.set) == (3, 0)
    assert digests(catalog, "acme/web") == {"1": A.digest, "2": A.digest}


def test_a_repository_that_the_registry_does_not_know_any_more_loses_its_tags_and_keeps_its_document(catalog):
    with pretended(acme__web={"1": A}, acme__app={"1": A}) as registry:
        compare(catalog, registry.url)
        del registry.holds["acme/web"]
        assert compare(catalog, registry.url).removed == 1
    assert digests(catalog, "acme/web") == {}
    assert catalog.held_tags("acme", "web") is not None


def test_more_than_half_of_all_tags_is_removed_only_if_it_is_believed(catalog):
    with pretended(acme__web={f"t{n}": A for n in range(250)}) as registry:
        compare(catalog, registry.url)
        registry.holds["acme/web"] = {f"t{n}": A for n in range(120)}
        assert compare(catalog, registry.url).withheld == "it would be 130 of 250, which is more than is believed"
        assert len(digests(catalog, "acme/web")) == 250
        assert compare(catalog, registry.url, believe=True).removed == 130
        assert len(digests(catalog, "acme/web")) == 120


def test_what_came_in_while_the_registry_was_read_stands(catalog):
    with pretended(acme__web={"changed": A, "gone": A, "other": A}) as registry:
        compare(catalog, registry.url)
        registry.holds["acme/web"] = {"changed": B, "other": B}
        before = catalog.held_tags("acme", "web")
        newer = {tag: {**C_ENTRY, "tag": tag} for tag in ("changed", "gone")}

        def answer(asked: Asked) -> None:
            # The catalog was read before, and is written after this.
            if asked.path.endswith("/tags/list"):
                catalog.mend(
                    Caller(REGISTRY, "event"), Mend("acme", "web", before, rfc3339(time.time()), newer), "reconcile"
                )

        registry.answer = answer
        compare(catalog, registry.url)
    assert digests(catalog, "acme/web") == {"changed": C.digest, "gone": C.digest, "other": B.digest}


def test_a_push_while_the_registry_is_read_is_newer_than_what_was_read(catalog):
    asked_at: list[str] = []
    with pretended(acme__web={"1": A}) as registry:
        registry.answer = lambda asked: asked_at.append(rfc3339(time.time()))
        compare(catalog, registry.url)
    # What is told of a push in between has a later time than this, and so overwrites it.
    assert catalog.held_tags("acme", "web")["1"]["pushed_at"] <= asked_at[1]


C_ENTRY = {"image_id": C.image_id, "digest": C.digest, "architectures": ["amd64"], "size": C.size}


@pytest.mark.parametrize(
    "told", ["1", lambda: formatdate(time.time() + 1.5, usegmt=True), None], ids=["seconds", "a date", "nothing"]
)
def test_a_registry_that_has_too_much_to_do_is_asked_again_when_it_says(catalog, told):
    refused: list[float] = []

    def answer(asked: Asked) -> Answer | None:
        if asked.path.endswith("/tags/list") and not refused:
            refused.append(time.monotonic())
            after = told() if callable(told) else told
            return Answer(429, b"", {"Retry-After": after} if after else {})
        return None

    with pretended(acme__web={"1": A}) as registry:
        registry.answer = answer
        report = compare(catalog, registry.url)
        assert time.monotonic() - refused[0] > 0.4
    assert (report.set, report.count("failed")) == (1, 0) and digests(catalog, "acme/web") == {"1": A.digest}


@pytest.mark.parametrize("told", ["3600", "0"], ids=["much later", "again and again"])
def test_a_registry_that_goes_on_refusing_is_given_up_and_nothing_is_removed(catalog, told):
    with pretended(acme__web={"1": A}, acme__app={"2": B}) as registry:
        compare(catalog, registry.url)
        del registry.holds["acme/web"]["1"]
        registry.answer = lambda asked: (
            Answer(429, b"", {"Retry-After": told}) if asked.path == "/v2/acme/web/tags/list" else None
        )
        report = compare(catalog, registry.url)
    assert (report.removed, report.count("failed")) == (0, 1) and digests(catalog, "acme/web") == {"1": A.digest}


def test_basic_credentials_are_sent_when_asked_for_and_never_elsewhere(catalog):
    with pretended() as elsewhere, pretended(acme__web={"1": A}) as registry:
        config = f"/v2/acme/web/blobs/sha256:{A.image_id}"

        def answer(asked: Asked) -> Answer | None:
            if asked.authorization != BASIC:
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="here"'})
            return Answer(307, headers={"Location": f"{elsewhere.url}/stored"}) if asked.path == config else None

        registry.answer = answer
        elsewhere.answer = lambda asked: Answer(200, A.blobs[0])
        with pytest.raises(RegistryFailed) as refused:
            compare(catalog, registry.url)
        assert refused.value.is_refused
        assert compare(catalog, registry.url, user="ada").set == 1
        assert [one.authorization for one in elsewhere.asked] == [None]


def test_a_token_is_got_where_the_challenge_says_and_kept_for_its_scope(catalog):
    with pretended() as tokens, pretended(acme__web={"1": A, "2": A}) as registry:

        def answer(asked: Asked) -> Answer | None:
            name = asked.path.removeprefix("/v2/").rsplit("/", 2)[0]
            scope = "registry:catalog:*" if asked.path == "/v2/_catalog" else f"repository:{name}:pull"
            if asked.authorization == f"Bearer {scope}":
                return None
            challenge = f'Bearer realm="{tokens.url}/token",service="a, b",scope="{scope}"'
            return Answer(401, headers={"WWW-Authenticate": challenge})

        def issue(asked: Asked) -> Answer:
            scope = re.search(r"scope=([^&]+)", asked.query)
            assert scope and "service=a%2C+b" in asked.query
            is_known = asked.authorization == BASIC
            return (
                said({"token": scope[1].replace("%3A", ":").replace("%2F", "/").replace("%2A", "*")})
                if is_known
                else Answer(401)
            )

        registry.answer, tokens.answer = answer, issue
        with pytest.raises(RegistryFailed) as refused:
            compare(catalog, registry.url)
        assert refused.value.is_refused
        tokens.asked.clear()
        assert compare(catalog, registry.url, user="ada").set == 2
        assert len(tokens.asked) <= 2 + 4  # a scope's token is asked for by each job at most once
        minted: list[object] = []

        def mint(access) -> str:
            minted.extend(access)
            return f"{access[0]['type']}:{access[0]['name']}:{','.join(access[0]['actions'])}"

        assert not compare(catalog, registry.url, mint=mint).differences
        assert {"type": "repository", "name": "acme/web", "actions": ["pull"]} in minted


def test_a_comparison_that_is_stopped_ends_at_once_whatever_the_registry_does(catalog):
    with pretended(acme__web={str(n): A for n in range(50)}) as registry:
        registry.answer = lambda asked: registry.hang() if "/manifests/" in asked.path else None
        with RegistryClient(registry.url, timeout=30) as client:
            reconciler = Reconciler(catalog, client, lambda namespace: True, 4)
            failures: list[RegistryFailed] = []

            def compare_until_stopped() -> None:
                try:
                    reconciler.run(Wanted(action=IMPORT))
                except RegistryFailed as error:
                    failures.append(error)

            thread = threading.Thread(target=compare_until_stopped)
            thread.start()
            wait_for(lambda: any("/manifests/" in one.path for one in registry.asked), 5, "images are asked for")
            reconciler.stop()
            thread.join(2)
            assert not thread.is_alive()
    assert catalog.held_tags("acme", "web") is None


def test_a_connection_that_is_not_taken_is_broken_off_as_well(catalog):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        client = RegistryClient(url, timeout=30)
        threading.Timer(0.3, client.abort).start()
        began = time.monotonic()
        with pytest.raises(RegistryFailed):
            Reconciler(catalog, client, lambda namespace: True).run(Wanted())
        assert 0.2 < time.monotonic() - began < 3


def test_an_import_that_was_killed_goes_on_where_it_was(tmp_path):
    assert run(tmp_path, "init", "catalog").status == 0
    root = tmp_path / "catalog"
    names = [f"acme/r{n:02}" for n in range(30)]
    with pretended() as registry:
        registry.holds = {name: {"1": A} for name in names}
        registry.answer = lambda asked: time.sleep(0.02)
        command = ["import", "--registry", registry.url, "--jobs", "2", "--catalog", "catalog"]
        with subprocess.Popen([*PROGRAM, *command], cwd=tmp_path, env=environment(tmp_path)) as running:
            wait_for(lambda: len(registry.listings()) > 15, 20, "half is read")
            running.kill()
        done = len((root / ".git/catalogd/registry-import").read_text().splitlines()) - 1
        assert done >= 5
        registry.asked.clear()
        ran = run(tmp_path, *command)
        assert ran.status == 0, ran.err
        assert f"An earlier import goes on: {done} repositories done already." in ran.out
        assert len(registry.listings()) == 30 - done
        assert not (root / ".git/catalogd/registry-import").exists()
    made = git(root, "log", "--format=", "--name-only", "main", "--", "data").split()
    assert sorted(made) == [f"data/{name}.json" for name in names]


def test_a_user_is_asked_for_on_a_terminal_when_the_registry_refuses(tmp_path):
    assert run(tmp_path, "init", "catalog").status == 0
    with pretended(acme__web={"1": A}) as registry:
        challenge = Answer(401, headers={"WWW-Authenticate": "Basic realm=here"})
        registry.answer = lambda asked: None if asked.authorization == BASIC else challenge
        command = ["import", "--registry", registry.url, "--public", "--catalog", "catalog"]
        ran = run(tmp_path, *command)
        assert (ran.status, len(ran.err.splitlines())) == (1, 1)
        assert "wants other credentials, or any (401)" in ran.err
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [*PROGRAM, *command], stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment(tmp_path),
            start_new_session=True,
        ) as running:  # fmt: skip
            os.close(theirs)
            shown = ""
            for prompt, typed in (("User at ", b"ada\n"), ("Password", b"secret\n"), ("1 tag set", b"")):
                while prompt not in shown:
                    shown += os.read(ours, 4096).decode()
                os.write(ours, typed)
            assert running.wait(10) == 0
        os.close(ours)
        assert "Reading" in shown and "secret" not in shown
    assert json.loads((tmp_path / "catalog/data/acme/web.json").read_text())["is_public"] is True


def test_credentials_of_the_settings_go_to_their_own_registry_only(tmp_path):
    assert run(tmp_path, "init", "catalog").status == 0
    basic = Answer(401, headers={"WWW-Authenticate": "Basic realm=here"})
    own = {"CATALOGD_REGISTRY_USER": "ada", "CATALOGD_REGISTRY_PASSWORD": "secret"}
    with pretended(acme__web={"1": A}) as registry:
        registry.answer = lambda asked: None if asked.authorization else basic
        for more, status in (({"CATALOGD_REGISTRY_URL": "http://other.example.org"}, 1), ({}, 0)):
            ran = run(tmp_path, "import", "--registry", registry.url, "--catalog", "catalog", **own, **more)
            assert ran.status == status, ran.err
            assert {one.authorization for one in registry.asked} == ({None} if status else {None, BASIC})


@pytest.mark.parametrize("what", ["the list", "the images"])
def test_a_server_ends_soon_while_its_registry_hangs(tmp_path, what):
    with pretended(acme__web={"1": A}) as registry:
        hanging = "/v2/_catalog" if what == "the list" else "/v2/acme/web/manifests/"
        registry.answer = lambda asked: registry.hang() if asked.path.startswith(hanging) else None
        config = tmp_path / "catalogd.toml"
        config.write_text(f'registry_url = "{registry.url}"\nregistry_interval = 1\nregistry_create = "always"\n')
        served = Served(tmp_path / "catalog", tmp_path, tmp_path / "log", ("--config", str(config))).start()
        wait_for(lambda: any(one.path.startswith(hanging) for one in registry.asked), 10, "the registry is asked")
        began = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - began < 2
        served.close()


def _heed_control_c() -> None:
    """Whoever runs the tests in the background may have it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_control_c_leaves_what_is_done_and_says_so(tmp_path):
    assert run(tmp_path, "init", "catalog").status == 0
    with pretended(acme__a={"1": A}, acme__b={"1": B}) as registry:
        registry.answer = lambda asked: registry.hang() if asked.path.startswith("/v2/acme/b/") else None
        command = [*PROGRAM, "import", "--registry", registry.url, "--catalog", "catalog"]
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=_heed_control_c,
        ) as running:  # fmt: skip
            wait_for(lambda: (tmp_path / "catalog/.git/catalogd/registry-import").is_file(), 10, "it has begun")
            wait_for(lambda: "acme/b" in registry.listings(), 10, "the second is read")
            wait_for(
                lambda: "acme/a" in (tmp_path / "catalog/.git/catalogd/registry-import").read_text(), 10, "one is done"
            )
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=5)
    assert running.returncode == 1
    assert "Stopped with 1 repository done. The same command goes on with the others." in out
    assert "Traceback" not in err
