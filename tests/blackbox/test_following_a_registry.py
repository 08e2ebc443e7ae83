"""A catalog beside a real docker-registry: what is pushed, pulled and deleted there shows in the API and in git."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from real_registry import (
    RealRegistry,
    free_port,
    image,
    index,
    needs_registry,
    needs_skopeo,
    registry,
    skopeo,
)  # fmt: skip
from served_catalog import Client, Served, git, wait_for

pytestmark = [pytest.mark.slow, needs_registry, needs_skopeo]

WITHIN = 5.0
INSECURE = "--tls-verify=false"


@dataclass
class Followed:
    """A registry that notifies a catalog, which reads it."""

    registry: RealRegistry
    catalog: Served
    client: Client

    def detail(self, name: str) -> dict:
        return self.client.get(f"/v1/repositories/{name}").json

    def tags(self, name: str) -> dict[str, dict]:
        reply = self.client.get(f"/v1/repositories/{name}/tags")
        return {tag["tag"]: tag for tag in reply.json} if reply.status == 200 else {}

    def in_git(self, name: str) -> dict:
        return json.loads(git(self.catalog.root, "show", f"main:data/{name}.json"))

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_for(condition, WITHIN, what)

    def docker(self, name: str) -> str:
        return f"docker://{self.registry.host}/{name}"


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    home = tmp_path_factory.mktemp("followed")
    port = free_port()
    config = home / "catalogd.toml"
    config.write_text(f'registry_url = "http://127.0.0.1:{port}"\nactivity_interval = 3600\n')
    served = Served(home / "catalog", home, home / "catalog.log", ("--config", str(config))).start()
    assert served.run("namespace", "add", "acme", "--owner", "admin").status == 0
    assert served.run("namespace", "add", "library", "--owner", "admin").status == 0
    with registry(home / "registry", port=port, notifications=notifications(served)) as running:
        yield Followed(running, served, served.client())
    served.close()


def notifications(served: Served, **more: object) -> dict:
    made = served.run("token", "create", "admin", "--scope", "registry")
    assert made.status == 0, made.err
    endpoint = {
        "name": "catalogd",
        "url": f"{served.url}/v1/registry/events",
        "headers": {"Authorization": [f"Token {made.out.strip()}"]},
        "timeout": "5s",
        "threshold": 1000,
        "backoff": "100ms",
    }
    return {"events": {"includereferences": True}, "endpoints": [{**endpoint, **more}]}


def test_a_push_a_retag_and_a_delete_are_followed(followed: Followed) -> None:
    first, second = image("web 1"), image("web 2")
    followed.registry.push("acme/web", "1.0", first)
    followed.until(lambda: "1.0" in followed.tags("acme/web"), "the tag is there")
    tag, detail = followed.tags("acme/web")["1.0"], followed.detail("acme/web")
    assert (tag["image_id"], tag["digest"], tag["size"]) == (first.image_id, first.digest, first.size)
    assert tag["architectures"] == ["amd64"]
    assert (detail["upload"], detail["pushed_at"], detail["is_public"]) == (1, tag["pushed_at"], False)
    assert followed.in_git("acme/web")["tags"] == [{**tag, "tag": "1.0"}]
    # Another tag for the same image, made by skopeo; then the first one moves.
    skopeo(
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        followed.docker("acme/web:1.0"),
        followed.docker("acme/web:stable"),
    )
    followed.until(lambda: "stable" in followed.tags("acme/web"), "the second tag is there")
    followed.registry.push("acme/web", "1.0", second)
    followed.until(lambda: followed.tags("acme/web")["1.0"]["digest"] == second.digest, "the tag has moved")
    assert followed.tags("acme/web")["stable"]["digest"] == first.digest
    assert followed.in_git("acme/web")["upload"] == followed.detail("acme/web")["upload"] == 3
    skopeo("delete", INSECURE, followed.docker("acme/web:1.0"))
    followed.until(lambda: followed.tags("acme/web").keys() == {"stable"}, "the tag is gone")
    messages = git(followed.catalog.root, "log", "--format=%an|%s", "--", "data/acme/web.json").splitlines()
    assert messages == [
        "admin|Follow acme/web: delete 1.0",
        "admin|Follow acme/web: push 1.0",
        "admin|Follow acme/web: push stable",
        "admin|Create acme/web: push 1.0",
    ]
    assert followed.in_git("acme/web")["upload"] == 3


def test_an_index_is_one_push_and_one_pull(followed: Followed, tmp_path: Path) -> None:
    small, other = image("api", "amd64"), image("api", "arm64", "v8")
    both = index((small, "amd64"), (other, "arm64/v8"))
    followed.registry.push("acme/api", "multi", both)
    followed.until(lambda: "multi" in followed.tags("acme/api"), "the tag is there")
    tag = followed.tags("acme/api")["multi"]
    assert (tag["image_id"], tag["digest"]) == (both.image_id, both.digest)
    assert sorted(tag["architectures"]) == ["amd64", "arm64/v8"]
    assert tag["size"] == both.size
    assert followed.detail("acme/api")["upload"] == 1
    skopeo("copy", "--src-tls-verify=false", followed.docker("acme/api:multi"), f"dir:{tmp_path}/one")
    followed.until(lambda: followed.detail("acme/api")["download"] == 1, "the pull is counted")
    skopeo("copy", "--all", "--src-tls-verify=false", followed.docker("acme/api:multi"), f"oci:{tmp_path}/all")
    followed.until(lambda: followed.detail("acme/api")["download"] == 2, "the pull of all of it is counted once")
    time.sleep(0.3)
    assert followed.detail("acme/api")["download"] == 2


def test_pulls_by_tag_and_by_digest_count_and_a_head_does_not(followed: Followed) -> None:
    there = image("cli")
    followed.registry.push("acme/cli", "1", there)
    followed.until(lambda: "1" in followed.tags("acme/cli"), "the tag is there")
    accept = {"Accept": there.media_type}
    assert followed.registry.ask("HEAD", "/v2/acme/cli/manifests/1", **accept)[0] == 200
    before = followed.detail("acme/cli")
    assert (before["download"], before["pulled_at"]) == (0, None)
    for reference in ("1", there.digest):
        assert followed.registry.ask("GET", f"/v2/acme/cli/manifests/{reference}", **accept)[0] == 200
    followed.until(lambda: followed.detail("acme/cli")["download"] == 2, "both pulls are counted")
    detail = followed.detail("acme/cli")
    assert before["pushed_at"] < detail["pulled_at"]
    listed = followed.client.get("/v1/repositories/acme?search=cli").json["results"][0]
    assert (listed["download"], listed["pulled_at"]) == (2, detail["pulled_at"])
    # What is counted is not in git until it is folded, with all else.
    assert followed.in_git("acme/cli")["download"] == 0


def test_one_component_belongs_to_library_and_deeper_names_are_only_counted(followed: Followed) -> None:
    followed.registry.push("alpine", "3", image("alpine"))
    followed.registry.push("acme/team/deep", "1", image("deep"))
    followed.registry.push("nobodys/thing", "1", image("thing"))
    followed.until(lambda: "3" in followed.tags("library/alpine"), "the tag is there")
    followed.until(lambda: "'acme/team/deep'" in followed.catalog.log_text, "it is logged")
    followed.until(lambda: "no repository nobodys/thing" in followed.catalog.log_text, "it is logged")
    assert followed.client.get("/v1/repositories/nobodys/thing").status == 404
    metrics = followed.client.get("/metrics").body.decode()
    assert 'catalogd_registry_events_total{outcome="no_place"} 1.0' in metrics
    assert 'catalogd_registry_changes_total{outcome="unknown_repository"} 1.0' in metrics
