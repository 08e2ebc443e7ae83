"""The catalog is compared with a real registry that has told it nothing, and mended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_registry import RealRegistry, image, index, needs_registry, registry

from catalogd.catalog import Catalog
from catalogd.cli.serving import _create
from catalogd.errors import RegistryFailed
from catalogd.registry.client import RegistryClient
from catalogd.registry.reconciling import IMPORT, Reconciler, Report, Wanted

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


def run(catalog: Catalog, url: str, **wanted) -> Report:
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
    run(catalog, shared.url, action=IMPORT)
    assert digests(catalog, "library", "plain") == {"x": A.digest, "y": C.digest}
    entry = (catalog.held_tags("acme", "web") or {})["multi"]
    assert (entry["image_id"], entry["size"]) == (both.image_id, both.size)
    assert entry["architectures"] == ["amd64", "arm64/v8"]

    shared.push("acme/web", "2", B)
    shared.push("acme/web", "3", C)
    shared.delete("acme/web", both.digest)
    head = catalog.store.head()
    told = {str(difference) for difference in run(catalog, shared.url, dry_run=True).differences}
    assert told == {"changed: acme/web:2", "missing: acme/web:3", "extra: acme/web:multi", "unfit: too/deep/name"}
    assert catalog.store.head() == head
    report = run(catalog, shared.url)
    assert (report.set, report.removed, report.withheld) == (2, 1, "")
    assert digests(catalog, "acme", "web") == {"1": A.digest, "2": B.digest, "3": C.digest}
    head = catalog.store.head()
    assert not run(catalog, shared.url).count("changed")
    assert catalog.store.head() == head


def test_a_registry_that_is_down_or_empty_takes_nothing_away(shared, catalog, tmp_path):
    shared.push("acme/kept", "1", A)
    run(catalog, shared.url, action=IMPORT)
    with registry(tmp_path / "empty") as empty:
        assert run(catalog, empty.url).withheld == "the registry lists no repository at all"
    with pytest.raises(RegistryFailed, match="no connection"):
        run(catalog, empty.url)
    assert digests(catalog, "acme", "kept") == {"1": A.digest}
