"""What `catalogd check` finds in a catalog, and how it says it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from catalogd.check import MOST_BYTES, Finding, check, entry_finding, fixed
from catalogd.check_formats import FORMATS
from catalogd.documents import builtin_schema, dumps

PROJECT = Path(__file__).parents[1]
WEB = {"namespace": "acme", "repo_name": "web", "description": "A web server", "tags": []}


def found(*files, **options):
    return list(check(files, **options))


def file(path, document):
    return path, document if isinstance(document, bytes) else dumps(document)


HOSTILE = Finding(
    "error",
    "data/a%b,c:d\x1b[31m.json",
    7,
    "/x\u202e",
    'is \x9b2J\r\n::error::forged <b>&" ]]> \udc80\x00\x7f',
    "mend\u2028it",
)


def test_the_sample_catalog_of_the_project_passes():
    paths = sorted((PROJECT / "data").rglob("*.json"))
    assert len(paths) >= 3
    assert found(*((path.relative_to(PROJECT).as_posix(), path.read_bytes()) for path in paths)) == []


def test_a_document_that_fits_in_canonical_form_is_fine():
    assert found(file("data/acme/web.json", WEB), file("namespaces/acme.json", {"namespace": "acme"})) == []


def test_a_fault_is_found_with_its_line_pointer_and_mend():
    (finding,) = found(file("data/acme/web.json", {**WEB, "tags": [{"tag": "1", "image_id": "0" * 64}, {"tag": "2"}]}))
    assert (finding.severity, finding.path, finding.line) == ("error", "data/acme/web.json", 7)
    assert finding.pointer == "/tags/1/image_id"
    assert "is required" in finding.detail
    assert finding.mend


def test_bad_json_is_an_error_at_its_line():
    (finding,) = found(file("data/acme/web.json", b'{\n  "namespace": "acme",\n  "namespace": "acme"\n}\n'))
    assert (finding.severity, finding.line) == ("error", 3)
    assert "there twice" in finding.detail


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b"null", b"[]", b'{"a": NaN}'])
def test_no_content_stops_the_check(data):
    assert [finding.severity for finding in found(file("data/acme/web.json", data))] == ["error"]


def test_names_that_are_not_those_of_the_path_are_errors():
    assert [finding.pointer for finding in found(file("data/acme/api.json", WEB))] == ["/repo_name"]
    assert [finding.line for finding in found(file("namespaces/x.json", {"namespace": "acme"}))] == [2]


def test_another_form_is_a_warning_at_the_first_line_that_differs():
    data = dumps(WEB).replace(b'"description": "A', b'"description":  "A')
    (finding,) = found(file("data/acme/web.json", data))
    assert (finding.severity, finding.line) == ("warning", 4)
    (finding,) = found(file("data/acme/web.json", dumps(WEB)[:-1]))
    assert (finding.severity, finding.line) == ("warning", 6)


@pytest.mark.parametrize(
    "path",
    [
        "data/README.md",
        "data/web.json",
        "data/acme/web.yaml",
        "data/acme/deep/web.json",
        "data/acme/WEB.json",
        "data/acme/nul.json",
        "data/.git/web.json",
        "data/acme/x.lock",
        "data/acme/a\nb.json",
        "namespaces/acme/x.json",
        "namespaces/Acme.json",
        "namespaces/acme",
    ],
)
def test_a_file_in_no_place_for_a_document_is_an_error(path):
    (finding,) = found((path, dumps(WEB)))
    assert (finding.severity, finding.path) == ("error", path)


def test_files_elsewhere_are_nobodys_business():
    assert found(("README.md", b"x"), ("schemas/x", b"{"), (".github/data/x", b"")) == []


def test_names_that_differ_only_in_case_or_form_clash():
    findings = found(file("data/acme/web.json", WEB), ("data/acme/Web.json", b"{}"), ("data/ACME/x.json", b"{}"))
    assert [finding.path for finding in findings if "knows no case" in finding.detail] == [
        "data/acme/Web.json",
        "data/ACME/x.json",
    ]
    findings = found(("data/caf\u00e9/x.json", b""), ("data/cafe\u0301/x.json", b""))
    assert any("knows no case" in finding.detail for finding in findings)


def test_a_changed_file_may_clash_with_one_that_did_not_change():
    findings = found(file("data/acme/web.json", WEB), others=["data/acme/WEB.json", "data/acme/web.json"])
    assert ["data/acme/WEB.json" in finding.detail for finding in findings] == [True]


def test_the_catalogs_own_schema_is_obeyed():
    site = {"repository": b'{"properties": {"description": {"minLength": 20}}}'}
    (finding,) = found(file("data/acme/web.json", WEB), site=site)
    assert (finding.pointer, finding.line) == ("/description", 4)


def test_a_broken_schema_is_an_error_of_its_own_and_the_rest_is_checked():
    findings = found(
        file("data/acme/api.json", WEB), site={"repository": b"{", "namespace": builtin_schema("namespace")}
    )
    assert [finding.path for finding in findings] == ["schemas/repository.schema.json", "data/acme/api.json"]


def test_a_policy_is_checked_by_line_and_pointer_with_what_would_be_right():
    policy = b'{\n  "approvals": 99,\n  "namespaces": {\n    "acme": {"direct": ["/tags", "/tag"]}\n  }\n}\n'
    findings = found(("policy.json", policy))
    assert [(f.severity, f.line, f.pointer) for f in findings] == [
        ("error", 2, "/approvals"),
        ("error", 4, "/namespaces/acme/direct/1"),
    ]
    assert "must be at most 20, not 99" in findings[0].detail
    assert "How many owners" in findings[0].mend


def test_a_policy_in_another_form_is_a_warning_which_fixing_mends():
    policy = b'{"protected": true, "approvals": 2}\n'
    assert [(f.severity, f.line) for f in found(("policy.json", policy))] == [("warning", 1)]
    better = fixed("policy.json", policy)
    assert better == b'{\n  "approvals": 2,\n  "protected": true\n}\n'
    assert found(("policy.json", better)) == []


def test_a_policy_that_is_no_json_is_an_error_at_its_line():
    assert [(f.severity, f.line) for f in found(("policy.json", b'{\n  "approvals": 1,\n}\n'))] == [("error", 3)]


def test_fixing_gives_the_canonical_form_and_nothing_for_what_has_it_or_cannot():
    assert fixed("data/acme/web.json", json.dumps(WEB).encode()) == dumps(WEB)
    assert fixed("data/acme/web.json", dumps(WEB)) is None
    assert fixed("data/acme/web.json", b'{"a": 1, "a": 2}') is None
    assert fixed("data/acme/web.json", b"[]") is None


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_lets_a_terminal_escape_or_a_forged_line_through(name):
    output = FORMATS[name]([HOSTILE], 1)
    assert not any(ord(character) < 32 and character != "\n" for character in output)
    assert not any(character in output for character in "\x7f\x9b\u202e\u2028\udc80")
    assert not any(line.startswith("::error::forged") for line in output.split("\n"))
    output.encode("utf-8")


def test_the_text_has_place_detail_mend_and_a_summary():
    finding = Finding("error", "data/acme/web.json", 4, "/description", "must be a string", "Correct it.")
    assert FORMATS["text"]([finding], 2) == (
        "data/acme/web.json:4: error: /description: must be a string\n"
        "    Correct it.\n"
        "2 files checked: 1 error, 0 warnings\n"
    )
    assert FORMATS["text"]([], 1) == "1 file checked: 0 errors, 0 warnings\n"


def test_the_json_gives_the_findings_as_they_are():
    output = json.loads(FORMATS["json"]([HOSTILE], 3))
    assert (output["checked"], output["errors"], output["warnings"]) == (3, 1, 0)
    assert output["findings"][0]["detail"] == HOSTILE.detail


def test_the_commands_for_github_are_escaped():
    command = FORMATS["github"]([HOSTILE], 1).split("\n")[0]
    assert command.startswith("::error file=data/a%25b%2Cc%3Ad\\x1b[31m.json,line=7,title=/x\\u202e::is \\x9b2J")
    warning = Finding("warning", "data/acme/web.json", 2, "", "is 100% wrong.", "Mend it.")
    assert FORMATS["github"]([warning], 1).startswith(
        "::warning file=data/acme/web.json,line=2,title=form::is 100%25 wrong. Mend it.\n"
    )


def test_the_xml_for_junit_is_well_formed_and_counts_the_failures():
    warning = Finding("warning", "data/acme/web.json", 2, "", "is so", "Mend it.")
    suite = ElementTree.fromstring(FORMATS["junit"]([HOSTILE, warning], 2))[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    failed, warned, rest = suite
    assert '<b>&" ]]>' in failed.find("failure").get("message")
    assert warned.find("failure") is None
    assert rest.get("name") == "2 files checked: 1 error, 1 warning"


def test_the_report_for_gitlab_has_a_note_for_each_finding_at_its_line():
    warning = Finding("warning", "data/acme/web.json", 2, "", "is so", "Mend it.")
    error, noted = json.loads(FORMATS["gitlab"]([HOSTILE, warning], 2))
    assert (error["severity"], error["location"]["lines"]) == ("major", {"begin": 7})
    assert (noted["severity"], noted["location"]["path"], noted["description"]) == (
        "minor",
        "data/acme/web.json",
        "is so. Mend it.",
    )
    assert error["fingerprint"] != noted["fingerprint"]
    assert FORMATS["gitlab"]([], 2) == "[]\n"


@pytest.mark.parametrize(
    ("path", "mode", "words"),
    [
        ("data/acme/web.json", "100755", "executable"),
        ("data/acme/web.json", "120000", "a symbolic link"),
        ("data/acme", "160000", "a submodule"),
        ("data/acme/web.json", "100664", "of the mode 100664"),
        ("schemas/repository.schema.json", "120000", "a symbolic link"),
        ("data", "120000", "must be a directory"),
        ("namespaces", "100644", "must be a directory"),
        ("Data/acme/web.json", "100644", "is in data/"),
        ("SCHEMAS", "100644", "is in schemas/"),
        ("policy.json", "120000", "a symbolic link"),
        ("policy.json/x", "100644", "must be a file"),
        ("Policy.JSON", "100644", "is policy.json on a file system that knows no case"),
    ],
)
def test_only_plain_files_have_a_place_in_the_directories_of_a_catalog(path, mode, words):
    finding = entry_finding(path, mode)
    assert (finding.severity, finding.path) == ("error", path)
    assert words in finding.detail


def test_a_file_that_is_too_large_is_not_read():
    assert entry_finding("data/acme/web.json", "100644", MOST_BYTES) is None
    for path in ("data/acme/web.json", "policy.json"):
        assert "8,388,609 bytes" in entry_finding(path, "100644", MOST_BYTES + 1).detail


ELSEWHERE = ("README.md", "policy.json.txt", "docs/policy.json", ".github/workflows/x.yml", "database", "docs/data/x")


@pytest.mark.parametrize("path", ELSEWHERE)
def test_what_else_is_in_a_repository_may_be_anything(path):
    assert entry_finding(path, "120000", MOST_BYTES + 1) is None
