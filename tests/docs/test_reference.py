"""The reference says what the code says, and links lead somewhere."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import generated_parts
import pytest
from console_blocks import PROJECT, Reader, commands, difference

from catalogd import server
from catalogd.activity import FOLDER
from catalogd.catalog import Caller, Catalog, repositories
from catalogd.cli import transfer
from catalogd.documents import builtin_schema, positions, schema
from catalogd.following import Follower
from catalogd.names import MAX_NAME
from catalogd.registry.keeping import Kept
from catalogd.state import State
from catalogd.store import Store
from catalogd.upstream import Upstream
from catalogd.web.metrics import Metrics
from catalogd.web.parameters import MAX_PAGE_SIZE

DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", *sorted(DOCS.glob("*.md"))]
OPERATIONS = DOCS / "operations.md"


def test_api_md_is_as_generated():
    assert (DOCS / "api.md").read_text() == generated_parts.api(), generated_parts.REGENERATE


@pytest.mark.parametrize(("page", "name"), generated_parts.PARTS)
def test_the_generated_parts_of_pages_are_up_to_date(page, name):
    made = generated_parts.PARTS[page, name]()
    assert generated_parts.part_of((DOCS / page).read_text(), name) == made, generated_parts.REGENERATE


def test_every_command_and_option_has_help():
    for path, command in generated_parts.walk(generated_parts.main, ("catalogd",)):
        assert command.help, path
        for parameter in command.params:
            is_option = parameter.param_type_name == "option"
            assert not is_option or parameter.help or parameter.name == "format_", (path, parameter.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in _anchors(file.read_text()), f"{page.name} links to {target}"


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_one_title_and_names_no_place_of_this_machine(page):
    assert len(re.findall(r"^# ", _prose(page), re.MULTILINE)) == 1
    for place in {str(PROJECT), sys.prefix} - {"/usr", "/usr/local"}:
        assert place not in page.read_text()


@pytest.mark.slow
def test_the_console_blocks_of_operations_md_run_as_printed(tmp_path):
    reader = Reader.new(tmp_path)
    reader.reuse_this_interpreter()
    reader.environment["PATH"] = f"{reader.checkout}/.venv/bin:{reader.environment['PATH']}"
    for who in ("AUTHOR", "COMMITTER"):
        reader.environment.update({f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@example.org"})
    chosen = commands(OPERATIONS)
    assert len(chosen) > 10
    # Something to be dropped: the first commit of a catalog has nothing before it.
    secret = "cd catalog; echo secret >secret.txt; git add .; git commit -qm Secret 2>/dev/null; cd .."
    at = next(i for i, command in enumerate(chosen) if command.text == "cd catalog")
    prepared = [*chosen[:at], type(chosen[0])(0, secret, "", True), *chosen[at:]]
    printed = reader.run(prepared)
    assert len(printed) == len(prepared)
    differences = [difference(*pair) for pair in zip(prepared, printed, strict=True)]
    assert not any(differences), "\n\n".join(filter(None, differences))


def test_the_metrics_are_those_of_the_server(tmp_path):
    Store.create(tmp_path / "catalog")
    catalog, state = Catalog.open(tmp_path / "catalog"), State(tmp_path / "state.db")
    try:
        catalog.begin(Caller(FOLDER, "test"), {"README.md": b"It is followed.\n"})
        rendered = ""
        for lookout in (Follower, Upstream):
            looks = lookout(catalog, catalog.store.remote(str(tmp_path / "catalog")), 1.0)
            assert looks.step()
            metrics = Metrics(looks.health)
            metrics.watch_comparisons(lambda: Kept(0.0, False, {"set": 1}, {"extra": 1}))
            metrics.observe("/healthz", "GET", 200, 0.1)
            metrics.wrote("createRepository", True)
            metrics.took({"push": 1})
            metrics.watch_changes(lambda: 0)
            rendered += metrics.render().decode()
    finally:
        state.close()
        catalog.close()
    there = {name for name in re.findall(r"^# TYPE (\w+)", rendered, re.MULTILINE) if "_created" not in name}
    section = OPERATIONS.read_text().partition("\n## Health and metrics\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(catalogd_\w+)` \|", section, re.MULTILINE)) == there


def test_the_limits_are_those_of_the_code():
    documented = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", _limits(), re.MULTILINE))
    fields = json.loads(builtin_schema("repository"))["properties"]
    labels = fields["labels"]
    assert (
        documented.items()
        >= {
            "namespace, name of a repository": f"{MAX_NAME} characters",
            "tags of a repository": f"{fields['tags']['maxItems']:,}",
            "`description`": f"{fields['description']['maxLength']:,} characters",
            "`full_description`": f"{fields['full_description']['maxLength']:,} characters",
            "labels of a repository": f"{labels['maxProperties']}, of at most "
            f"{labels['additionalProperties']['maxLength']:,} characters each",
            "`build_config.tag_configs`": f"{schema.MAX_SETTINGS_BYTES:,} bytes, {schema.MAX_SETTINGS_DEPTH} levels",
            "nesting of JSON": f"{positions.MAX_DEPTH} levels",
            "headers of a request": f"{server._MAX_HEADERS:,} bytes",
            "page of a list": f"{MAX_PAGE_SIZE} entries",
            "a list with `at` and a filter or an ordering": f"{repositories._MOST_IN_THE_PAST:,} repositories",
            "a line of an import": f"{transfer._MOST_LINE:,} bytes",
            "a connection without traffic": f"{server._IDLE} seconds",
            "sending one request": f"{server._SLOWEST_REQUEST:.0f} seconds",
        }.items()
    )


def _limits() -> str:
    return OPERATIONS.read_text().partition("\n## Limits\n")[2]


def test_the_page_on_performance_counts_as_the_benchmark_does():
    text = (DOCS / "performance.md").read_text()
    files = {file.stem: file.read_text() for file in (PROJECT / "tests" / "benchmarks").glob("*.py")}
    code = "".join(files.values())
    counts = {name: int(count) for name, count in re.findall(r"^([A-Z_]+) = (\d+)$", code, re.MULTILINE)}
    rounds = {name: re.findall(r"ROUNDS = rounds\((\d+)\)", source) for name, source in files.items()}
    assert {name: int(found[0]) for name, found in rounds.items() if found} == {
        **dict.fromkeys(("detail", "workers", "git_serving"), 7),  # `list` has those of `detail`
        "durable_put": 5,
        **dict.fromkeys(("durable_puts", "registry_events"), 3),
    }
    told = (
        "7 in `detail`, `list`, `workers` and for the clones of `git-serving`, 5 in `durable-put`, 3 in `durable-puts`"
    )
    assert f"by default {told} and `registry-events`" in " ".join(text.split())
    assert f"{5 * counts['PUTS_A_ROUND']} of them in five rounds" in text
    assert f"{5 * counts['COMMITS_A_ROUND']} of them in the same" in text
    assert f"{counts['PER_NAMESPACE']} repositories a namespace" in text
    assert "| repositories | PUT, median (p95) |" in text
    assert f"in {counts['TURNS']} turns of {counts['GETS_A_TURN']} requests each" in text
    assert f"the median of {rounds['git_serving'][0]} rounds" in text
    assert f"while {counts['AT_ONCE']} others clone" in text
