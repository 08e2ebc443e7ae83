"""Full-text search over HTTP in a catalog of 100,000 repositories, a tenth of them private: queries as people type
them, by anybody and by a user who sees some of the private ones.

Once with invented texts, and, where official-images.jsonl.gz is beside the project, with the texts of 144 official
images again and again under other names, each with a word of its own. The client is one connection, so each query is
timed alone.
"""

from __future__ import annotations

import gzip
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tests.benchmarks.catalogs import Served, catalogd, name_of, serving, spread
from tests.benchmarks.client import Client
from tests.benchmarks.contents import OFFICIAL_IMAGES
from tests.benchmarks.figures import ms, p99
from tests.benchmarks.large import LARGEST

ROUNDS = 20
USER = "finder"
_OF_USER = 50  # namespaces whose private repositories the user may read

# What is asked, by what it is an example of; {n} is another number each time.
_INVENTED = {
    "a rare word": "w{n:05d}",
    "a name": "team-{n:05d}",
    "a word of one in a hundred": "topic{n}",
    "a word of one in ten": "app-3",
    "a word of all": "application",
    "two words": "application topic{n}",
    "a beginning": "topi",
    "no hit": "nothinglikethis{n}",
}
_REAL = {
    "a rare word": "w{n:05d}",
    "a name": "postgres",
    "a word of one in a hundred": "elasticsearch",
    "a word of one in ten": "database",
    "a word of all": "docker",
    "two words": "web server",
    "a beginning": "pyth",
    "no hit": "nothinglikethis{n}",
}
_ORDERINGS = ("", "&ordering=-updated_at", "&ordering=-download")


def run() -> str:
    """The tables, in Markdown."""
    parts = [_table("invented texts", _invented(), _INVENTED)]
    if OFFICIAL_IMAGES.is_file():
        parts.append(_table("texts of official images", _real(), _REAL))
    return "\n\n".join(parts)


def _table(what: str, documents: Iterator[dict], queries: dict[str, str]) -> str:
    rows = [f"| {what} | hits | median | most |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory:
        root = _catalog(Path(directory), documents)
        with serving(root) as served:
            served.rest()
            clients = [served.connect(anonymous=True), _as_user(root, served)]
            taken: dict[str, list[float]] = {}
            hits: dict[str, int] = {}
            for turn in range(ROUNDS):
                for name, words in queries.items():
                    text = quote(words.format(n=turn * 37 % 100))
                    path = f"/v1/repositories?search={text}{_ORDERINGS[turn % len(_ORDERINGS)]}"
                    for client in clients:
                        seconds, hits[name] = _search(client, path)
                        taken.setdefault(name, []).append(seconds)
    for name, seconds in taken.items():
        rows.append(f"| {name} | {hits[name]:,} | {ms(statistics.median(seconds))} | {ms(max(seconds))} |")
    mixed = [each for seconds in taken.values() for each in seconds]
    rows.append(f"| all of them: median and p99 | | {ms(statistics.median(mixed))} | {ms(p99(mixed))} |")
    return "\n".join(rows)


def _search(client: Client, path: str) -> tuple[float, int]:
    start = time.perf_counter()
    status, answer = client.request("GET", path, b"")
    seconds = time.perf_counter() - start
    if status != 200:
        raise RuntimeError(f"{path}: {status}: {answer!r}")
    return seconds, json.loads(answer)["count"]


def _catalog(directory: Path, documents: Iterator[dict]) -> Path:
    lines, root = directory / "documents.jsonl", directory / "catalog"
    with lines.open("w") as out:
        out.writelines(json.dumps(document) + "\n" for document in documents)
    catalogd("init", str(root))
    catalogd("import", str(lines), "--catalog", str(root))
    return root


def _as_user(root: Path, served: Served) -> Client:
    """Somebody who is a reader of some namespaces."""
    catalogd("user", "add", USER, "--catalog", str(root))
    catalogd("user", "add", "chief", "--admin", "--catalog", str(root))
    admins = catalogd("token", "create", "chief", "--scope", "admin", "--catalog", str(root)).strip()
    admin = Served(served.host, served.port, admins, served.pid).connect()
    for number in range(0, _OF_USER):
        namespace = name_of(number * 10)[0]
        body = json.dumps({"namespace": namespace, "readers": [USER]}).encode()
        status, answer = admin.request("POST", "/v1/namespaces", body)
        if status != 201:
            raise RuntimeError(f"{status}: {answer!r}")
    admin.close()
    token = catalogd("token", "create", USER, "--catalog", str(root)).strip()
    return Served(served.host, served.port, token, served.pid).connect()


def _invented() -> Iterator[dict]:
    for number in range(LARGEST):
        namespace, repo_name = name_of(number)
        yield {
            "namespace": namespace,
            "repo_name": repo_name,
            "description": f"Application {repo_name} of {namespace} about topic{number * 7 % 100}",
            "full_description": f"A few words about what w{number:05d} is for.\n" * 5,
            "is_public": number % 10 > 0,
            "download": spread(number, 1000),
        }


def _real() -> Iterator[dict]:
    with gzip.open(OFFICIAL_IMAGES, "rt") as lines:
        images = [json.loads(line) for line in lines]
    for number in range(LARGEST):
        image = images[number % len(images)]
        yield {
            "namespace": name_of(number)[0],
            "repo_name": f"{image['repo_name']}-{number % 10}",
            "description": image["description"],
            "full_description": f"w{number:05d} {image['full_description']}",
            "is_public": number % 10 > 0,
            "download": spread(number, 1000),
        }
