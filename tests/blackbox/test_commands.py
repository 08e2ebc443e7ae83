"""The command line as a user runs it: exit statuses, failures in one line, what is printed and what not."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from forked_program import PROGRAM
from served_catalog import (
    Client,
    Ran,
    Served,
    assert_problem,
    commit_by_hand,
    environment,
    git,
    run,
    wait_for,
)

pytestmark = pytest.mark.slow

IMAGE = "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5"
COMMANDS = [
    "init",
    "serve",
    "check",
    "log",
    "show",
    "diff",
    "blame",
    "rollback",
    "propose",
    "proposal",
    "user",
    "token",
    "namespace",
    "import",
    "export",
    "backup",
    "reconcile",
    "doctor",
    "maintenance",
    "hooks",
    "merge-driver",
]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A catalog with the sample in it, not served."""
    assert run(tmp_path, "init", "catalog", "--with-sample").status == 0
    return tmp_path / "catalog"


def on(catalog: Path, *arguments: object, stdin: bytes = b"", **env: str) -> Ran:
    return run(catalog.parent, *arguments, stdin=stdin, CATALOGD_CATALOG=str(catalog), **env)


def is_failure(done: Ran, *words: str) -> bool:
    """Exit status 1, and one line on standard error that says it."""
    lines = done.err.splitlines()
    assert lines and lines[0].startswith("catalogd: "), done
    assert all(line.startswith("  ") for line in lines[1:]), done
    assert all(word in done.err for word in words), done
    return done.status == 1


def is_wrong_usage(done: Ran) -> bool:
    assert "Usage:" in done.err
    assert "Error:" in done.err
    return done.status == 2


def put(catalog: Path, path: str, document: object) -> Path:
    file = catalog / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


# --- all of them


@pytest.mark.slow
def test_every_command_has_help_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    shown = run(tmp_path, "--help")
    assert shown.status == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", shown.out, re.MULTILINE), command
        helped = run(tmp_path, command, "--help")
        assert (helped.status, helped.err) == (0, "")
        assert is_wrong_usage(run(tmp_path, command, "--no-such-option"))
    assert is_wrong_usage(run(tmp_path, "no-such-command"))
    assert run(tmp_path, "--version").out.startswith("catalogd")
    anew = subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path))
    assert (anew.returncode, anew.stdout, anew.stderr) == (0, shown.out, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("log",),
        ("show", "a/b"),
        ("diff", "a/b"),
        ("blame", "a/b"),
        ("rollback", "a/b", "abcdef0"),
        ("propose", "a/b", "--delete"),
        ("proposal", "list"),
        ("user", "list"),
        ("user", "add", "x"),
        ("token", "list"),
        ("token", "create", "x"),
        ("export",),
        ("backup", "b.tar.gz"),
        ("doctor",),
        ("maintenance",),
        ("import", "-"),
        ("import", "--registry", "http://127.0.0.1:9"),
        ("reconcile", "--registry", "http://127.0.0.1:9"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_command_without_a_catalog_fails_in_one_line_and_makes_none(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert is_failure(run(tmp_path, *arguments), "catalog")
    assert not (tmp_path / "catalog").exists()
    (tmp_path / "catalog").mkdir()
    assert is_failure(run(tmp_path, *arguments))
    git(tmp_path / "catalog", "init", "-q")
    assert is_failure(run(tmp_path, *arguments))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "acme/nothing"),
        ("log", "acme/nothing"),
        ("diff", "acme/nothing"),
        ("blame", "acme/nothing"),
        ("rollback", "acme/nothing", "abcdef0"),
        ("show", "../x"),
        ("show", "a/../b"),
        ("show", "--", "-x/y"),
        ("log", "Foo/x"),
        ("show", "acme/nothing", "--at", "zzz"),
        ("user", "remove", "nobody"),
        ("user", "password", "nobody", "--password-stdin"),
        ("token", "create", "nobody"),
        ("token", "revoke", "nothing"),
        ("token", "list", "nobody"),
        ("user", "add", "Not Valid"),
        ("user", "add", "x", "--email", "no address"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_what_is_not_there_or_not_valid_is_a_failure_in_one_line(catalog: Path, arguments: tuple[str, ...]) -> None:
    assert is_failure(on(catalog, *arguments, stdin=b"long enough\n"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("show",),
        ("show", "acme"),
        ("rollback", "acme/x"),
        ("import",),
        ("import", "no-such-file"),
        ("token", "create"),
        ("token", "create", "x", "--scope", "everything"),
        ("token", "create", "x", "--expires", "soon"),
        ("log", "-n", "0"),
        ("log", "-n", "x"),
        ("check", "no-such-directory"),
        ("check", "--format", "xml"),
        ("check", "--base", "x", "--staged"),
        ("init",),
        ("user", "nonsense"),
        ("diff", "a"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_wrong_usage_is_status_2(catalog: Path, arguments: tuple[str, ...]) -> None:
    assert on(catalog, *arguments).status == 2


def test_settings_are_checked_and_said_in_one_line(catalog: Path) -> None:
    assert is_failure(on(catalog, "log", CATALOGD_THREADS="many"), "CATALOGD_THREADS")
    assert is_failure(on(catalog, "log", CATALOGD_TREADS="4"), "CATALOGD_THREADS")
    put(catalog, ".git/catalogd/catalogd.toml", "threads = 'x'")
    assert is_failure(on(catalog, "log"), "threads")
    assert is_failure(on(catalog, "log", "--config", "nowhere.toml"), "nowhere.toml")


# --- init, history


def test_init_makes_a_catalog_that_passes_its_check_and_refuses_one_that_is_there(catalog: Path) -> None:
    assert git(catalog, "status", "--porcelain") == ""
    assert git(catalog, "log", "--format=%s").splitlines() == ["Begin the catalog"]
    assert on(catalog, "check", catalog).status == 0
    assert on(catalog, "doctor").status == 0
    assert is_failure(run(catalog.parent, "init", "catalog"))
    (catalog.parent / "file").write_text("")
    assert run(catalog.parent, "init", "file").status in (1, 2)


@pytest.mark.slow
def test_the_history_is_told_and_gone_back_in_from_the_shell(catalog: Path) -> None:
    line = {"namespace": "acme", "repo_name": "shell", "description": "first"}
    assert on(catalog, "import", "-", stdin=json.dumps(line).encode()).status == 0
    first = git(catalog, "rev-parse", "main").strip()
    assert (
        on(
            catalog,
            "import",
            "-",
            stdin=json.dumps(line | {"description": "second", "labels": {"a": "1"}}).encode(),
        ).status
        == 0
    )
    log = on(catalog, "log", "acme/shell")
    assert log.status == 0
    assert "updated description, labels/a" in log.out
    assert "created" in log.out
    assert len(on(catalog, "log", "-n", "1").out.splitlines()) <= 2
    assert json.loads(on(catalog, "show", "acme/shell").out)["description"] == "second"
    assert json.loads(on(catalog, "show", "acme/shell", "--at", first[:8]).out)["description"] == "first"
    assert "/description\n  - first\n  + second\n" in on(catalog, "diff", "acme/shell").out
    assert '+  "description": "second",' in on(catalog, "diff", "acme/shell", "--unified", "--from", first).out
    assert re.search(r"^[0-9a-f]{12}  \S+Z  Hand +/description$", on(catalog, "blame", "acme/shell").out, re.MULTILINE)
    back = on(catalog, "rollback", "acme/shell", first[:8])
    assert (back.status, back.err) == (0, "")
    assert json.loads(on(catalog, "show", "acme/shell").out)["description"] == "first"
    assert "already" in on(catalog, "rollback", "acme/shell", first).out
    assert git(catalog, "status", "--porcelain") == ""
    assert git(catalog, "log", "-1", "--format=%an").strip() == "Hand"
    assert is_failure(on(catalog, "rollback", "acme/shell", "--", "--all"))


def test_output_to_a_pipe_that_is_closed_ends_quietly(catalog: Path) -> None:
    done = subprocess.run(
        f"{' '.join(PROGRAM)} show acme/web | head -c 1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        cwd=catalog.parent,
        env=environment(catalog.parent, CATALOGD_CATALOG=str(catalog)),
    )
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr


@pytest.mark.slow
def test_terminal_escapes_in_documents_never_reach_the_terminal(catalog: Path) -> None:
    # By hand and past the hook, as a schema would refuse them.
    evil = {
        "namespace": "acme",
        "repo_name": "evil",
        "full_description": "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m",
        "labels": {"a": "\x1b[31m"},
    }
    put(catalog, "data/acme/evil.json", evil)
    put(catalog, "data/acme/\x1b[31m.json", "{\x1b")
    git(catalog, "add", "data")
    git(catalog, "commit", "-q", "--no-verify", "-m", "\x1b[31mred\x07", "--author=\x1b[5mX <x@example.org>")
    commands = [
        ("log",),
        ("log", "acme/evil"),
        ("show", "acme/evil"),
        ("diff", "acme/evil"),
        ("diff", "acme/evil", "--unified"),
        ("blame", "acme/evil"),
        ("doctor",),
        ("check", str(catalog)),
        ("show", "acme/\x1b[31m"),
        ("user", "list"),
        ("rollback", "acme/evil", "\x1b[31m"),
        ("export",),
    ]
    commands += [("check", str(catalog), "--format", form) for form in ("json", "github", "junit")]
    for command in commands:
        done = on(catalog, *command)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.out + done.err), command


# --- users and tokens


@pytest.mark.slow
def test_token_create_prints_the_token_and_nothing_else(catalog: Path) -> None:
    assert on(catalog, "user", "add", "joe", "--email", "joe@example.org").out == ""
    made = on(catalog, "token", "create", "joe", "--name", "ci", "--expires", "90d", "--namespace", "acme")
    assert re.fullmatch(r"catd_\S{30,}\n", made.out)
    assert (made.status, made.err) == (0, "")
    listed = on(catalog, "token", "list", "joe").out
    assert "ci" in listed
    assert "acme" in listed
    assert made.out.strip() not in listed
    assert is_failure(on(catalog, "user", "add", "joe"), "joe")
    assert is_failure(on(catalog, "token", "create", "joe", "--scope", "admin"), "admin")
    assert "joe@example.org" in on(catalog, "user", "list").out
    assert on(catalog, "user", "remove", "joe").status == 0
    assert on(catalog, "token", "list").out == ""


@pytest.mark.slow
def test_a_password_comes_from_standard_input_and_a_bad_one_makes_no_user(catalog: Path) -> None:
    assert is_failure(on(catalog, "user", "add", "ann", "--password-stdin", stdin=b"short\n"))
    assert "ann" not in on(catalog, "user", "list").out
    assert is_failure(on(catalog, "user", "add", "ann", "--password-stdin", stdin=b"x" * (10 << 20) + b"\n"))
    assert on(catalog, "user", "add", "ann", "--password-stdin", stdin=b"correct horse\n").status == 0
    assert "password" in on(catalog, "user", "list").out
    assert on(catalog, "user", "password", "ann", "--password-stdin", stdin="pässwörter\n".encode()).status == 0


# --- import and export


def test_an_import_names_every_bad_line_and_writes_nothing(catalog: Path) -> None:
    before = git(catalog, "rev-parse", "main")
    lines = [
        b'{"namespace": "a", "repo_name": "good"}',
        b'{"namespace": "a", "repo_name": "Bad"}',
        b"{",
        b"",
        b'{"namespace": "a", "repo_name": "x", "download": -1}',
        b"[]",
        b'{"namespace": "a", "repo_name": "good"}',
        b'{"namespace": "a", "repo_name": "y", "z": 1}',
    ]
    done = on(catalog, "import", "-", stdin=b"\n".join(lines))
    assert is_failure(done, "Nothing was imported")
    named = set(re.findall(r"line (\d+)", done.err))
    assert {"2", "3", "6", "7"} <= named or {"2", "3", "5", "6", "7", "8"} <= named
    assert "1" not in named - {"1"}
    done = on(catalog, "import", "-", stdin=b"\n".join([lines[0], lines[4], lines[7]]))
    assert set(re.findall(r"^  line (\d+)", done.err, re.MULTILINE)) == {"2", "3"}
    assert git(catalog, "rev-parse", "main") == before
    assert git(catalog, "status", "--porcelain") == ""


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08", b"\x1f\x8b" + b"x" * 100, b"\xff\xfe", b"\0" * 100, b'{"a":' * 5000])
def test_what_is_no_file_of_lines_is_a_failure(catalog: Path, data: bytes) -> None:
    assert is_failure(on(catalog, "import", "-", stdin=data))


def test_an_import_names_what_is_no_document_also_where_there_is_one(catalog: Path) -> None:
    assert on(catalog, "import", "-", stdin=b'{"namespace": "a", "repo_name": "there"}').status == 0
    for value in (b'"labels": "x"', b'"tags": 5', b'"labels": "x", "extra": 1'):
        done = on(catalog, "import", "-", stdin=b'{"namespace": "a", "repo_name": "there", ' + value + b"}")
        assert is_failure(done, "Nothing was imported")
        assert "line 1" in done.err


def test_an_import_of_nothing_makes_no_commit(catalog: Path) -> None:
    before = git(catalog, "rev-parse", "main")
    assert on(catalog, "import", "-", stdin=b"\n\n").status == 0
    assert git(catalog, "rev-parse", "main") == before


def test_an_export_is_what_an_import_reads_also_through_a_pipe(catalog: Path) -> None:
    exported = on(catalog, "export")
    assert exported.status == 0
    assert len(exported.out.splitlines()) == len(
        git(catalog, "ls-tree", "-r", "--name-only", "main", "data").splitlines()
    )
    assert run(catalog.parent, "init", "other").status == 0
    assert on(catalog.parent / "other", "import", "-", stdin=exported.out.encode()).status == 0
    assert git(catalog, "rev-parse", "main:data") == git(catalog.parent / "other", "rev-parse", "main:data")
    assert on(catalog, "export", "/no/such/directory/x").status in (1, 2)


def test_progress_is_shown_on_a_terminal_only(catalog: Path) -> None:
    lines = b"".join(b'{"namespace": "p", "repo_name": "r%d"}\n' % number for number in range(500))
    (catalog.parent / "lines.jsonl").write_bytes(lines)
    command = [*PROGRAM, "import", str(catalog.parent / "lines.jsonl"), "--catalog", str(catalog)]
    terminal, side = pty.openpty()
    with subprocess.Popen(command, stderr=side, stdout=subprocess.DEVNULL, env=environment(catalog.parent)) as process:
        os.close(side)
        shown = b""
        try:
            while part := os.read(terminal, 4096):
                shown += part
        except OSError:
            pass  # the terminal's end
        os.close(terminal)
        assert process.wait(30) == 0
    assert b"100%" in shown or b"Checking" in shown
    assert on(catalog, "import", catalog.parent / "lines.jsonl").err == ""


# --- check


def test_check_prints_file_line_pointer_and_mend_in_every_format(catalog: Path) -> None:
    put(
        catalog,
        "data/acme/bad.json",
        '{\n  "namespace": "acme",\n  "repo_name": "bad",\n  "download": -1\n}\n',
    )
    put(catalog, "data/acme/unlike.json", '{"repo_name": "unlike", "namespace": "acme"}')
    text = run(catalog.parent, "check", catalog)
    assert text.status == 1
    assert re.search(r"^data/acme/bad.json:4: error: /download: ", text.out, re.MULTILINE)
    assert re.search(r"^data/acme/unlike.json:1: warning: ", text.out, re.MULTILINE)
    report = json.loads(run(catalog.parent, "check", catalog, "--format", "json").out)
    assert (report["errors"], report["warnings"]) == (1, 1)
    error = next(found for found in report["findings"] if found["severity"] == "error")
    assert (error["path"], error["line"], error["pointer"]) == ("data/acme/bad.json", 4, "/download")
    assert error["mend"]
    annotations = run(catalog.parent, "check", catalog, "--format", "github")
    assert annotations.status == 1
    assert re.search(r"^::error file=data/acme/bad.json,line=4,", annotations.out, re.MULTILINE)
    suites = ElementTree.fromstring(run(catalog.parent, "check", catalog, "--format", "junit").out)
    assert suites.get("failures") == "1"


def test_check_fix_writes_the_canonical_form_and_leaves_errors_alone(catalog: Path) -> None:
    file = put(catalog, "data/acme/unlike.json", '{"repo_name": "unlike", "namespace": "acme"}')
    bad = put(catalog, "data/acme/bad.json", "{")
    assert run(catalog.parent, "check", catalog, "--fix").status == 1
    assert file.read_text().startswith('{\n  "namespace": "acme",\n  "repo_name": "unlike"')
    assert bad.read_text() == "{"
    bad.unlink()
    again = run(catalog.parent, "check", catalog)
    assert (again.status, again.out.splitlines()[-1].endswith("0 errors, 0 warnings")) == (0, True)


@pytest.mark.slow
def test_check_with_a_base_looks_only_at_what_changed(catalog: Path) -> None:
    put(catalog, "data/acme/old.json", "{")
    git(catalog, "add", "data")
    git(catalog, "commit", "-q", "--no-verify", "-m", "Broken long ago")
    git(catalog, "checkout", "-q", "-b", "topic")
    put(catalog, "data/acme/new.json", {"namespace": "acme", "repo_name": "new"})
    git(catalog, "add", "data")
    git(catalog, "commit", "-q", "-m", "Something new")
    assert run(catalog.parent, "check", catalog).status == 1
    assert run(catalog.parent, "check", catalog, "--base", "main").status == 0
    put(catalog, "data/acme/untracked.json", "[]")
    assert run(catalog.parent, "check", catalog, "--base", "main").status == 1
    for unknown in ("no-such-revision", "--all", "main..topic", ""):
        assert run(catalog.parent, "check", catalog, f"--base={unknown}").status in (1, 2)
    assert is_failure(run(catalog.parent, "check", catalog, "--base", "no-such-revision"), "no-such-revision")


def test_check_finds_what_git_would_take_and_the_layout_does_not(catalog: Path) -> None:
    (catalog / "data/acme/link.json").symlink_to("/etc/passwd")
    put(catalog, "data/acme/CON.json", {"namespace": "acme", "repo_name": "CON"})
    put(catalog, "data/acme/Web.json", {"namespace": "acme", "repo_name": "Web"})
    put(catalog, "data/stray.json", {})
    put(catalog, "data/acme/moved.json", {"namespace": "other", "repo_name": "moved"})
    put(catalog, "data/acme/a\nb.json", "{}")
    done = run(catalog.parent, "check", catalog)
    assert done.status == 1
    for part in ("link.json", "CON.json", "Web.json", "stray.json", "moved.json:1", "a\\x0ab.json"):
        assert part in done.out, part
    assert "root:" not in done.out


def test_a_commit_by_hand_of_an_invalid_document_is_refused_by_the_hook(catalog: Path) -> None:
    before = git(catalog, "rev-parse", "main")
    put(catalog, "data/acme/bad.json", {"namespace": "acme", "repo_name": "bad", "download": "many"})
    git(catalog, "add", "data")
    said = git(catalog, "commit", "-m", "Bad", check=False)
    assert "data/acme/bad.json:1: error: /download" in said
    assert git(catalog, "rev-parse", "main") == before
    put(catalog, "data/acme/bad.json", {"namespace": "acme", "repo_name": "bad"})
    # What counts is what is staged.
    assert "error" in git(catalog, "commit", "-m", "Bad", check=False)
    assert commit_by_hand(catalog, "Good", "data/acme/bad.json")


@pytest.mark.slow
def test_a_policy_is_checked_fixed_and_committed_like_a_document(catalog: Path) -> None:
    file = put(catalog, "policy.json", '{"protected": 1}')
    git(catalog, "add", "policy.json")
    assert "policy.json:1: error: /protected" in git(catalog, "commit", "-m", "Protect", check=False)
    file.write_text('{"protected": true, "approvals": 2}')
    assert "policy.json:1: warning" in run(catalog.parent, "check", catalog).out
    assert run(catalog.parent, "check", catalog, "--fix").status == 0
    assert file.read_text() == '{\n  "approvals": 2,\n  "protected": true\n}\n'
    commit_by_hand(catalog, "Protect", "policy.json")
    git(catalog, "checkout", "-q", "-b", "topic")
    assert run(catalog.parent, "check", catalog, "--base", "main").status == 0
    file.write_text("[]")
    assert run(catalog.parent, "check", catalog, "--base", "main").status == 1


def test_main_only_grows_also_by_hand(catalog: Path) -> None:
    commit_by_hand(catalog, "One more", str(put(catalog, "data/acme/x.json", {"namespace": "acme", "repo_name": "x"})))
    before = git(catalog, "rev-parse", "main")
    for command in (
        ("commit", "--amend", "-m", "Other"),
        ("reset", "-q", "--hard", "HEAD~1"),
        ("branch", "-f", "main", "HEAD~1"),
        ("update-ref", "-d", "refs/heads/main"),
    ):
        git(catalog, *command, check=False)
        assert git(catalog, "rev-parse", "main") == before, command


# --- serve, and commands beside it


def test_the_greeting_has_a_curl_line_that_works(served: Served) -> None:
    line = re.search(r"^  (curl (?:.*\\\n)*.*)$", served.greeting, re.MULTILINE)
    assert line, served.greeting
    done = subprocess.run(line[1], shell=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["repo_path"] == "admin/hello", done.stdout + done.stderr
    assert served.greeting.count(served.token) == 2
    assert served.token not in served.log_text
    served.stop()
    served.start()
    assert "token" not in served.greeting


def test_a_second_server_exits_at_once_and_names_the_first(served: Served) -> None:
    start = time.monotonic()
    second = served.run("serve", "--listen", "127.0.0.1:0")
    assert is_failure(second, str(served.process.pid))
    assert time.monotonic() - start < 5
    assert served.anonymous().get("/healthz").status == 200


def test_serve_says_why_it_cannot_listen(served: Served, tmp_path: Path) -> None:
    taken = "{}:{}".format(*served.address)
    assert is_failure(run(tmp_path, "serve", "--catalog", "other", "--listen", taken), "Address already in use")
    assert run(tmp_path, "serve", "--catalog", "other", "--listen", "nonsense").status in (1, 2)


def test_serve_takes_no_directory_that_has_other_things_in_it(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("dear")
    assert is_failure(run(tmp_path, "serve", "--catalog", "home", "--listen", "127.0.0.1:0"))
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]


@pytest.mark.slow
def test_commands_beside_a_server_take_effect_in_it_at_once(served: Served) -> None:
    client = served.client()
    line = {"namespace": "acme", "repo_name": "beside", "description": "first"}
    assert served.run("import", "-", stdin=json.dumps(line).encode()).status == 0
    assert client.get("/v1/repositories/acme/beside").json["description"] == "first"
    first = client.get("/v1/repositories/acme/beside").commit
    client.put("/v1/repositories/acme/beside", {"description": "second"})
    assert served.run("rollback", "acme/beside", first).status == 0
    assert client.get("/v1/repositories/acme/beside").json["description"] == "first"
    assert client.put("/v1/repositories/acme/beside", {"description": "third"}).status == 200
    assert json.loads(served.run("show", "acme/beside").out)["description"] == "third"
    for command in (
        ("log",),
        ("blame", "acme/beside"),
        ("doctor",),
        ("maintenance",),
        ("maintenance", "--full"),
        ("doctor", "--repair"),
    ):
        done = served.run(*command)
        assert done.status == 0, (command, done)
    assert client.put("/v1/repositories/acme/beside", {"description": "fourth"}).status == 200
    assert client.get("/v1/repositories/acme/beside").json["description"] == "fourth"
    served.settle()


@pytest.mark.slow
def test_a_token_that_is_revoked_is_refused_by_the_server_at_once(served: Served) -> None:
    token = served.user("brief")
    client = served.client(token)
    assert client.post("/v1/repositories/brief", {"repo_name": "a"}).status == 201
    revoked = served.run("token", "list", "brief").out.split()[0]
    assert served.run("token", "revoke", revoked).status == 0
    assert_problem(client.get("/v1/repositories/brief/a"), 401)
    assert_problem(client.put("/v1/repositories/brief/a", {"description": "x"}), 401)
    other = served.client(served.run("token", "create", "brief").out.strip())
    assert other.get("/v1/repositories/brief/a").status == 200
    assert served.run("user", "remove", "brief").status == 0
    assert_problem(other.get("/v1/repositories/brief/a"), 401)


def test_a_commit_by_hand_is_served_within_a_second(served: Served) -> None:
    client = served.client()
    client.post("/v1/repositories/acme", {"repo_name": "hand"})
    served.settle()
    file = put(
        served.root,
        "data/acme/hand.json",
        {"namespace": "acme", "repo_name": "hand", "description": "by hand"},
    )
    commit_by_hand(served.root, "By hand", str(file))
    wait_for(lambda: client.get("/v1/repositories/acme/hand").json["description"] == "by hand", 1, "it is served")
    assert client.get("/v1/repositories/acme/hand/history").json["results"][0]["author"] == "Hand"
    git(served.root, "revert", "--no-edit", "HEAD")
    wait_for(lambda: client.get("/v1/repositories/acme/hand").json["description"] == "", 1, "the revert is served")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_without_cutting_off_what_is_under_way(served: Served, number: int) -> None:
    client = served.client()
    client.post("/v1/repositories/acme", {"repo_name": "last"})
    body = b'{"description": "slow but sure"}'
    slow = Client(served.address)
    statuses: list[int] = []

    def send_slowly() -> None:
        connection = slow._connection
        connection.putrequest("PUT", "/v1/repositories/acme/last")
        for name, value in (
            ("Authorization", f"Token {served.token}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ):
            connection.putheader(name, value)
        connection.endheaders(body[:5])
        time.sleep(0.5)
        connection.send(body[5:])
        statuses.append(connection.getresponse().status)

    thread = threading.Thread(target=send_slowly)
    thread.start()
    time.sleep(0.25)
    served.process.send_signal(number)
    assert served.process.wait(15) == 0
    thread.join()
    assert statuses == [200]
    assert json.loads(served.run("show", "acme/last").out)["description"] == "slow but sure"
    assert git(served.root, "status", "--porcelain") == ""


def test_a_backup_that_is_there_already_is_not_overwritten(catalog: Path) -> None:
    target = catalog.parent / "b.tar.gz"
    assert on(catalog, "backup", target).status == 0
    before = target.read_bytes()
    assert on(catalog, "backup", target).status in (1, 2)
    assert target.read_bytes() == before
    assert on(catalog, "backup", "/no/such/place/b.tar.gz").status in (1, 2)


def test_doctor_names_what_is_wrong_and_repair_mends_the_read_model(catalog: Path) -> None:
    put(catalog, "data/acme/web.json", "[]")
    done = on(catalog, "doctor")
    assert done.status == 1
    assert "data/acme/web.json" in done.out
    git(catalog, "checkout", "-q", "data/acme/web.json")
    (catalog / ".git/catalogd/readmodel.db").write_bytes(b"no database")
    repaired = on(catalog, "doctor", "--repair")
    assert repaired.status == 0, repaired


def test_doctor_names_damage_of_the_accounts_and_keys_that_others_may_read(catalog: Path) -> None:
    assert on(catalog, "user", "add", "ann").status == 0
    private = catalog / ".git/catalogd"
    assert on(catalog, "registry", "rotate-key").status == 0
    healthy = on(catalog, "doctor")
    assert healthy.status == 0 and "accounts" in healthy.out and "keys" in healthy.out
    (private / "registry/root.key").chmod(0o644)
    assert "root.key may be read by others" in on(catalog, "doctor").out
    (private / "registry/root.key").chmod(0o600)
    state = private / "state.db"
    good = state.read_bytes()
    state.write_bytes(good[:4096] + b"\xff" * 4096 + good[8192:])
    damaged = on(catalog, "doctor")
    assert damaged.status == 1 and "Restore the state from a backup" in damaged.out
    state.write_bytes(b"no database")
    assert on(catalog, "doctor").status == 1
    state.write_bytes(good)
    assert on(catalog, "doctor").status == 0
