"""From manifests to what a tag tells of an image: ids, architectures, size."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalogd.errors import RegistryFailed
from catalogd.registry.client import DIGEST, RegistryClient, json_object

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# The configurations that have an architecture; others belong to charts, signatures and the like.
_IMAGE_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")

# As the schema of tags has it.
_MOST_ARCHITECTURES = 64
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_./-]{0,63}")
_MOST_SIZE = 2**53 - 1

# Bounds on what one tag may make us read.
_MOST_CONFIG = 8 << 20
_MOST_MANIFESTS = 200
_MOST_DEPTH = 2


@dataclass(frozen=True, slots=True)
class Image:
    """What a tag of the catalog tells of an image. `size` is in bytes, None where it is not known."""

    digest: str
    image_id: str
    architectures: tuple[str, ...] = ()
    size: int | None = None

    def as_tag(self, tag: str, pushed_at: str | None) -> dict[str, Any]:
        """The entry of a document's list of tags."""
        entry: dict[str, Any] = {"tag": tag, "image_id": self.image_id, "digest": self.digest}
        if pushed_at is not None:
            entry["pushed_at"] = pushed_at
        if self.architectures:
            entry["architectures"] = list(self.architectures)
        if self.size is not None:
            entry["size"] = self.size
        return entry


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of something else."""

    digest: str
    size: int
    media_type: str = ""
    architecture: str = ""
    is_image: bool = True


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, read. An index has `children`, an image `config` and `layers`; one of version 1 has neither."""

    digest: str
    stand_in: str
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] | None = None
    architecture: str = ""

    @property
    def config_to_read(self) -> str | None:
        """The digest of the configuration that tells the architecture, if there is one."""
        return self.config.digest if self.config and self.config.media_type in _IMAGE_CONFIGS else None


@dataclass
class Parts:
    """What was read of an image besides its manifest: by digest, manifests and the architectures of configurations."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    architectures: dict[str, str] = field(default_factory=dict)


def parse(data: bytes, media_type: str, digest: str, what: str = "The manifest") -> Manifest:
    """Raises RegistryFailed for what is no manifest."""
    body = json_object(data, what)
    said = body.get("mediaType")
    media_type = said if isinstance(said, str) and len(said) <= 200 else media_type
    stand_in = digest.removeprefix("sha256:") if digest.startswith("sha256:") else hashlib.sha256(data).hexdigest()
    if isinstance(body.get("manifests"), list) or media_type in _INDEXES:
        children = tuple(_descriptors(body.get("manifests"), what))
        return Manifest(digest, stand_in, children=children)
    if isinstance(body.get("config"), dict):
        (config,) = _descriptors([body["config"]], what)
        return Manifest(digest, stand_in, config, tuple(_descriptors(body.get("layers"), what)))
    return Manifest(digest, stand_in, architecture=architecture_in(body))


def image_of(manifest: Manifest, parts: Parts) -> Image:
    """What a tag tells of it. Of parts that were not read an architecture is left out, and the size as a whole."""
    found = dict.fromkeys(filter(None, _architectures(manifest, parts)))
    blobs: dict[str, int] = {}
    is_whole = _weigh(manifest, parts, blobs)
    size = sum(blobs.values())
    image_id = manifest.stand_in
    if manifest.config is not None and manifest.config.digest.startswith("sha256:"):
        image_id = manifest.config.digest.removeprefix("sha256:")
    return Image(
        manifest.digest,
        image_id,
        tuple(found)[:_MOST_ARCHITECTURES],
        size if is_whole and size <= _MOST_SIZE else None,
    )


def architecture_in(config: Mapping[str, Any]) -> str:
    """`amd64`, `arm64/v8`; "" where there is none that a tag could have."""
    name, variant = config.get("architecture"), config.get("variant")
    if not isinstance(name, str) or name in ("", "unknown"):
        return ""
    whole = f"{name}/{variant}" if isinstance(variant, str) and variant else name
    for spelling in (whole.lower(), name.lower()):
        if _ARCHITECTURE.fullmatch(spelling):
            return spelling
    return ""


def read_image(client: RegistryClient, name: str, reference: str) -> Image:
    """The image behind a tag or digest, by at most some hundred requests. Raises RegistryFailed."""
    manifest = _read(client, name, reference)
    parts = Parts()
    _read_parts(client, name, manifest, parts, _MOST_DEPTH)
    return image_of(manifest, parts)


def _read(client: RegistryClient, name: str, reference: str) -> Manifest:
    data, media_type, digest = client.manifest(name, reference)
    return parse(data, media_type, digest, f"The manifest of {name} at {digest}")


def _read_parts(client: RegistryClient, name: str, manifest: Manifest, parts: Parts, depth: int) -> None:
    config = manifest.config_to_read
    if config is not None and config not in parts.architectures:
        parts.architectures[config] = _architecture_of(client, name, config)
    if depth == 0:
        return
    for child in manifest.children or ():
        if not child.is_image or child.digest in parts.manifests or len(parts.manifests) >= _MOST_MANIFESTS:
            continue
        try:
            parts.manifests[child.digest] = there = _read(client, name, child.digest)
        except RegistryFailed as error:
            if not error.is_missing:
                raise
            continue  # an index may name what the registry has not got
        known = child.architecture and there.children is None
        if not known:
            _read_parts(client, name, there, parts, depth - 1)


def _architecture_of(client: RegistryClient, name: str, config: str) -> str:
    try:
        return architecture_in(json_object(client.blob(name, config, _MOST_CONFIG), f"The configuration {config}"))
    except RegistryFailed as error:
        if error.is_missing:
            return ""
        raise


def _architectures(manifest: Manifest, parts: Parts, depth: int = _MOST_DEPTH) -> Iterable[str]:
    if manifest.config is not None:
        yield parts.architectures.get(manifest.config.digest, "")
    yield manifest.architecture
    for child in manifest.children or ():
        there = parts.manifests.get(child.digest)
        if child.architecture and child.is_image:
            yield child.architecture
        elif there is not None and depth:
            yield from _architectures(there, parts, depth - 1)


def _weigh(manifest: Manifest, parts: Parts, blobs: dict[str, int], depth: int = _MOST_DEPTH) -> bool:
    """Note the size of each blob, once. Whether all are known."""
    for part in (*([manifest.config] if manifest.config else ()), *manifest.layers):
        blobs[part.digest] = part.size
    if manifest.children is None:
        return manifest.config is not None
    is_whole = depth > 0
    for child in manifest.children if depth else ():
        there = parts.manifests.get(child.digest)
        if child.is_image:
            is_whole &= there is not None and _weigh(there, parts, blobs, depth - 1)
    return is_whole


def _descriptors(listed: object, what: str) -> Sequence[Descriptor]:
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise RegistryFailed(f"{what}: it has no list of what it is made of.", 200)
    return [_descriptor(one, what) for one in listed]


def _descriptor(one: Mapping[str, Any], what: str) -> Descriptor:
    digest, size, media_type = one.get("digest"), one.get("size"), one.get("mediaType")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MOST_SIZE:
        size = None
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest) or size is None:
        raise RegistryFailed(f"{what}: a part of it has no digest or no size.", 200)
    platform, notes = (
        found if isinstance(found, dict) else {} for found in (one.get("platform"), one.get("annotations"))
    )
    # What a builder says of an image stands beside it in the index, for no platform.
    is_image = platform.get("architecture") != "unknown" and "vnd.docker.reference.type" not in notes
    return Descriptor(
        digest, size, media_type if isinstance(media_type, str) else "", architecture_in(platform), is_image
    )
