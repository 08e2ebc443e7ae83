"""The configuration of a registry that works with the catalog, as YAML for distribution 2.8 and 3.x."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from catalogd.registry.keys import ISSUER

# What a notification may be of besides manifests: of no use to the catalog.
_BLOBS = (
    "application/octet-stream",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
)


@dataclass(frozen=True)
class Wanted:
    """What the configuration depends on: `catalog` is the catalog's address, `host` the registry's own, "" to take it
    from each request; `secret` is what the registry signs the state of uploads with.
    """

    catalog: str
    token: str
    service: str
    bundle: Path
    storage: Path
    address: str
    host: str
    secret: str


def as_yaml(wanted: Wanted) -> str:
    """The whole configuration, with what to know of it as comments."""
    ignored = "\n".join(f"          - {_text(kind)}" for kind in _BLOBS)
    host = f"  host: {_text(wanted.host)}\n" if wanted.host else ""
    return f"""\
# The configuration of a registry (distribution 2.8 and 3.x) that works with the catalog at {wanted.catalog}
# It holds secrets: nobody but the registry is to read it.
version: 0.1
log:
  level: "info"
storage:
  filesystem:
    rootdirectory: {_text(str(wanted.storage))}
  delete:
    enabled: true
http:
  addr: {_text(wanted.address)}
{host}  # The same for all registries behind one address.
  secret: {_text(wanted.secret)}
  headers:
    X-Content-Type-Options: ["nosniff"]
auth:
  token:
    # Clients ask the catalog who may pull and push. They have to reach this address.
    realm: {_text(f"{wanted.catalog}/v1/registry/token")}
    service: {_text(wanted.service)}
    issuer: {_text(ISSUER)}
    # Another machine needs a copy of this file. It has no secret in it.
    rootcertbundle: {_text(str(wanted.bundle))}
notifications:
  events:
    includereferences: true
  endpoints:
    - name: "catalogd"
      url: {_text(f"{wanted.catalog}/v1/registry/events")}
      headers:
        Authorization: [{_text(f"Token {wanted.token}")}]
      timeout: "10s"
      threshold: 5
      backoff: "5s"
      ignore:
        mediatypes:
{ignored}
"""


def _text(value: str) -> str:
    """A string of JSON is one of YAML."""
    return json.dumps(value)
