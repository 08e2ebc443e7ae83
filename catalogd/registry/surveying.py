"""What the registry holds of one repository of the catalog: its tags, and what is known of their images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Executor
from dataclasses import dataclass, field
from typing import Any

from catalogd.errors import RegistryFailed
from catalogd.names import TAG
from catalogd.registry.client import RegistryClient
from catalogd.registry.images import Image, read_image

Tag = Mapping[str, Any]
STOPPED = "The comparison with the registry was stopped."
_TAG = re.compile(TAG)


@dataclass
class Holding:
    """The registry's tags of one repository. What could not be read is in `unread`, and nothing is known of it."""

    found: dict[str, Tag] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    unfit: list[str] = field(default_factory=list)

    @property
    def listed(self) -> set[str]:
        return {*self.found, *self.unread}


def survey(
    client: RegistryClient, names: Sequence[str], known: Mapping[str, Tag], executor: Executor
) -> Holding | None:
    """What the registry holds under all of these names; None if it knows none of them.

    The first name wins where several have a tag. `known` are the catalog's entries by tag: an image that one of them
    tells all of is not read again. Raises RegistryFailed if a listing fails or the executor is shut
    down, and never for a single tag.
    """
    holding = Holding()
    places: dict[str, str] = {}
    is_known = False
    for name in names:
        listed = client.tags(name)
        if listed is None:
            continue
        is_known = True
        for tag in listed:
            if _TAG.fullmatch(tag):
                places.setdefault(tag, name)
            else:
                holding.unfit.append(tag)
    if not is_known:
        return None
    images = {entry["digest"]: entry for entry in known.values() if "size" in entry and entry.get("digest")}
    try:
        tasks = {tag: executor.submit(_entry, client, name, tag, images) for tag, name in places.items()}
    except RuntimeError:
        raise RegistryFailed(STOPPED) from None
    for tag, task in tasks.items():
        try:
            holding.found[tag] = task.result()
        except CancelledError:
            raise RegistryFailed(STOPPED) from None
        except RegistryFailed as error:
            holding.unread[tag] = error.detail
    return holding


def _entry(client: RegistryClient, name: str, tag: str, images: dict[str, Tag]) -> Tag:
    """The tag's entry, without `pushed_at`; of an image in `images` by one request. What is read is added to them."""
    digest = client.digest(name, tag)
    entry = images.get(digest or "")
    if entry is not None:
        return {key: value for key, value in entry.items() if key != "pushed_at"} | {"tag": tag}
    image: Image = read_image(client, name, digest or tag)
    found = image.as_tag(tag, None)
    images[image.digest] = found
    return found
