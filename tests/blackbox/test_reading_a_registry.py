"""The catalog is compared with a real registry that has told it nothing, and mended."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_registry import RealRegistry, free_port, image, index, needs_registry, registry
from served_catalog import Served, run, wait_for

from catalogd.catalog import Catalog
from catalogd.cli.serving import _create
from catalogd.errors import RegistryFailed
from catalogd.registry.client import RegistryClient
from catalogd.registry.reconciling import IMPORT, Reconciler, Report, Wanted

# Of ada with the password `correct horse`, as `htpasswd -B` writes it.
HTPASSWD = "ada:$2b$04$VBbIqZvst0IFneu1VUhz8OhNhcj2QoJBKHYgzzJUC4aSEhLPe8cR2\n"
ADA = "Basic " + base64.b64encode(b"ada:correct horse").decode()

pytestmark = [pytest.mark.slow, needs_registry]

A, B, C = image("a"), image("b", "arm64", "v8", docker=True), image("c")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[RealRegistry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    _create(tmp_path / "catalog", with_sample=False)
    opened = Catalog.open(tmp_path / "catalog")
    yield opened
    opened.close()


def compare(catalog: Catalog, url: str, **wanted) -> Report:
    with RegistryClient(url, timeout=5) as client:
        return Reconciler(catalog, client, lambda namespace: True, 4).run(Wanted(**wanted))


def digests(catalog: Catalog, namespace: str, repo_name: str) -> dict[str, str]:
    return {tag: entry["digest"] for tag, entry in (catalog.held_tags(namespace, repo_name) or {}).items()}


def test_drift_in_all_forms_is_found_by_a_dry_run_and_mended_by_a_run(shared, catalog):
    both = index((A, "amd64"), (B, "arm64/v8"))
    shared.push("acme/web", ["1", "2"], A)
    shared.push("acme/web", "multi", both)
    shared.push("plain", "x", A)
    shared.push("library/plain", ["x", "y"], C)
    shared.push("too/deep/name", "1", A)
    compare(catalog, shared.url, action=IMPORT)
    assert digests(catalog, "library", "plain") == {"x": A.digest, "y": C.digest}
    entry = (catalog.held_tags("acme", "web") or {})["multi"]
    assert (entry["image_id"], entry["size"]) == (both.image_id, both.size)
    assert entry["architectures"] == ["amd64", "arm64/v8"]

    shared.push("acme/web", "2", B)
    shared.push("acme/web", "3", C)
    shared.delete("acme/web", both.digest)
    head = catalog.store.head()
    told = {str(difference) for difference in compare(catalog, shared.url, dry_run=True).differences}
    assert told == {"changed: acme/web:2", "missing: acme/web:3", "extra: acme/web:multi", "unfit: too/deep/name"}
    assert catalog.store.head() == head
    report = compare(catalog, shared.url)
    assert (report.set, report.removed, report.withheld) == (2, 1, "")
    assert digests(catalog, "acme", "web") == {"1": A.digest, "2": B.digest, "3": C.digest}
    head = catalog.store.head()
    assert not compare(catalog, shared.url).count("changed")
    assert catalog.store.head() == head


def test_a_registry_that_is_down_or_empty_takes_nothing_away(shared, catalog, tmp_path):
    shared.push("acme/kept", "1", A)
    compare(catalog, shared.url, action=IMPORT)
    with registry(tmp_path / "empty") as empty:
        assert compare(catalog, empty.url).withheld == "the registry lists no repository at all"
    with pytest.raises(RegistryFailed, match="no connection"):
        compare(catalog, empty.url)
    assert digests(catalog, "acme", "kept") == {"1": A.digest}


def test_the_commands_import_tell_the_drift_and_mend_it(tmp_path):
    """In a registry that wants a user."""
    assert run(tmp_path, "init", "catalog").status == 0
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    port = free_port()
    auth = {"htpasswd": {"realm": "here", "path": str(tmp_path / "htpasswd")}}
    with registry(tmp_path / "registry", port=port, auth=auth) as running:
        running.authorization = ADA
        running.push("acme/web", ["1", "2", "3"], A)
        running.push("other/app", "1", B)
        given = {
            "CATALOGD_CATALOG": "catalog",
            "CATALOGD_REGISTRY_URL": running.url,
            "CATALOGD_REGISTRY_USER": "ada",
            "CATALOGD_REGISTRY_PASSWORD": "correct horse",
        }
        ran = run(tmp_path, "import", "--registry", running.url, "--namespace", "acme", "--public", **given)
        assert (ran.status, ran.out) == (0, "1 repository read: 1 created, 3 tags set\n"), ran.err
        document = json.loads((tmp_path / "catalog/data/acme/web.json").read_text())
        assert document["is_public"] and [entry["tag"] for entry in document["tags"]] == ["1", "2", "3"]

        running.push("acme/web", "2", B)
        running.push("acme/new", "1", A)
        running.delete("acme/web", A.digest)
        ran = run(tmp_path, "reconcile", "--dry-run", **given)
        assert ran.status == 0, ran.err
        lines = ran.out.splitlines()
        assert lines[-1] == "3 repositories compared: 2 tags would be set, 2 removed. Nothing was changed."
        told = {"changed: acme/web:2", "missing: acme/new:1", "extra: acme/web:1", "extra: acme/web:3"}
        assert set(lines[:-1]) == {*told, "unknown: other/app"}
        ran = run(tmp_path, "reconcile", **given)
        assert ran.status == 0, ran.err
        assert "2 tags set, 2 removed, 1 repository created. Not in the catalog, and not created: 1 " in ran.out
        assert run(tmp_path, "reconcile", **given, CATALOGD_REGISTRY_CREATE="never").status == 0
        ran = run(tmp_path, "reconcile", **given | {"CATALOGD_REGISTRY_PASSWORD": "wrong"})
        assert (ran.status, ran.out, len(ran.err.splitlines())) == (1, "", 1)
        assert "wants other credentials" in ran.err
    document = json.loads((tmp_path / "catalog/data/acme/new.json").read_text())
    assert not document["is_public"]
    ran = run(tmp_path, "reconcile", **given)
    assert (ran.status, ran.out) == (1, "") and "no connection can be made" in ran.err


def test_a_server_mends_what_nobody_has_told_it_and_a_replica_leaves_that_to_its_primary(shared, tmp_path):
    shared.push("kept/web", ["1", "2"], A)
    config = tmp_path / "catalogd.toml"
    config.write_text(f'registry_url = "{shared.url}"\nregistry_interval = 1\nregistry_create = "always"\n')
    served = Served(tmp_path / "catalog", tmp_path, tmp_path / "log", ("--config", str(config))).start()
    try:
        client = served.client()

        def held() -> dict[str, str]:
            reply = client.get("/v1/repositories/kept/web/tags")
            return {tag["tag"]: tag["digest"] for tag in reply.json} if reply.status == 200 else {}

        wait_for(lambda: held() == {"1": A.digest, "2": A.digest}, 10, "the tags are there")
        shared.push("kept/web", "1", C)
        shared.delete("kept/web", A.digest)
        wait_for(lambda: held() == {"1": C.digest}, 10, "one is changed and one is gone")

        def number(metric: str) -> float:
            shown = re.search(rf"^{re.escape(metric)} (\S+)$", client.get("/metrics").body.decode(), re.MULTILINE)
            return float(shown[1]) if shown else -1.0

        wait_for(lambda: number('catalogd_registry_mended_total{what="removed"}') == 1, 5, "it is counted")
        assert number("catalogd_registry_failing") == 0
        assert 0 <= number("catalogd_registry_compared_seconds") < 10
        following = ("--follow", str(served.root), "--config", str(config))
        replica = Served(tmp_path / "replica", tmp_path, tmp_path / "replica.log", following).start()
        try:
            shown = replica.anonymous().get("/metrics").body.decode()
            assert "catalogd_following_failing" in shown and "catalogd_registry_failing" not in shown
        finally:
            replica.close()
    finally:
        served.close()
    assert "extra: kept/web:2" in served.log_text
