"""The findings of a check as text, for people, for GitHub and GitLab, for tools that read JSON or JUnit's XML.

Findings quote files that anybody may have written. No control character, and nothing that turns the
direction of the text, gets from there to the output: a terminal would obey it, and a log would be forged
with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from xml.sax.saxutils import escape, quoteattr

from catalogd.check import ERROR, Finding

# C0 and C1 controls, line and paragraph separators, marks and overrides of direction, what is invisible, and
# what no encoding can carry.
_UNSAFE = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f"
    "\\ufeff\\ufff9-\\ufffb\\ufffe\\uffff\\ud800-\\udfff]"
)


def safe(text: str) -> str:
    r"""`text` on one line, with whatever a terminal might obey as \x1b or \u202e."""
    return _UNSAFE.sub(lambda found: _spelled(ord(found[0])), text)


def text(findings: Sequence[Finding], checked: int) -> str:
    """For people: a finding a line as compilers write it, what to do about it below, and a summary."""
    out = []
    for finding in map(_cleaned, findings):
        at = f"{finding.pointer}: " if finding.pointer else ""
        out.append(f"{finding.path}:{finding.line}: {finding.severity}: {at}{finding.detail}")
        out.append(f"    {finding.mend}")
    return "\n".join([*out, summary(findings, checked)]) + "\n"


def as_json(findings: Sequence[Finding], checked: int) -> str:
    """One JSON object: `checked`, `errors`, `warnings` (counts) and `findings`."""
    errors = _errors(findings)
    # Escaped to ASCII, so that nothing in it is active; the values stay those of the findings.
    return (
        json.dumps(
            {
                "checked": checked,
                "errors": errors,
                "warnings": len(findings) - errors,
                "findings": [asdict(finding) for finding in findings],
            },
            indent=2,
        ).replace("\x7f", "\\u007f")
        + "\n"
    )


def github(findings: Sequence[Finding], checked: int) -> str:
    """Workflow commands of GitHub Actions, which become annotations of the pull request's lines."""
    out = []
    for finding in map(_cleaned, findings):
        title = finding.pointer or ("document" if finding.severity == ERROR else "form")
        properties = f"file={_property(finding.path)},line={finding.line},title={_property(title)}"
        out.append(f"::{finding.severity} {properties}::{_message(_words(finding))}")
    return "\n".join([*out, summary(findings, checked)]) + "\n"


def gitlab(findings: Sequence[Finding], checked: int) -> str:
    """A Code Quality report of GitLab, which becomes notes in the merge request."""
    # https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format; of those with the same fingerprint
    # GitLab shows one.
    report = [
        {
            "description": f"{finding.pointer}{': ' if finding.pointer else ''}{_words(finding)}",
            "check_name": "catalogd",
            "fingerprint": hashlib.sha256(repr(finding).encode()).hexdigest(),
            "severity": "major" if finding.severity == ERROR else "minor",
            "location": {"path": finding.path, "lines": {"begin": finding.line}},
        }
        for finding in map(_cleaned, findings)
    ]
    return json.dumps(report, indent=2) + "\n"


def junit(findings: Sequence[Finding], checked: int) -> str:
    """JUnit's XML: a test case for each finding, failed if it is an error, and one for all else."""
    errors = _errors(findings)
    cases = "".join(map(_case, map(_cleaned, findings)))
    name = quoteattr(summary(findings, checked))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="catalogd check" tests="{len(findings) + 1}" failures="{errors}">\n'
        f'<testsuite name="catalogd check" tests="{len(findings) + 1}" failures="{errors}" errors="0">\n'
        f'{cases}<testcase classname="catalog" name={name}/>\n'
        "</testsuite>\n</testsuites>\n"
    )


def summary(findings: Sequence[Finding], checked: int) -> str:
    """How many files were checked, and what came of it, in one line."""
    errors = _errors(findings)
    warnings = len(findings) - errors
    return f"{_count(checked, 'file')} checked: {_count(errors, 'error')}, {_count(warnings, 'warning')}"


# What --format takes. Each takes the findings and how many files were checked, and gives the whole output.
FORMATS: dict[str, Callable[[Sequence[Finding], int], str]] = {
    "text": text,
    "json": as_json,
    "github": github,
    "gitlab": gitlab,
    "junit": junit,
}


def _spelled(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _cleaned(finding: Finding) -> Finding:
    return replace(
        finding,
        path=safe(finding.path),
        pointer=safe(finding.pointer),
        detail=safe(finding.detail),
        mend=safe(finding.mend),
    )


def _words(finding: Finding) -> str:
    return f"{finding.detail.rstrip('.')}. {finding.mend}"


def _errors(findings: Sequence[Finding]) -> int:
    return sum(finding.severity == ERROR for finding in findings)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _message(value: str) -> str:
    # https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts: escapeData
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    # As above: escapeProperty
    return _message(value).replace(":", "%3A").replace(",", "%2C")


def _case(finding: Finding) -> str:
    name = quoteattr(f"line {finding.line}{': ' if finding.pointer else ''}{finding.pointer}")
    words = _words(finding)
    if finding.severity == ERROR:
        outcome = f"<failure message={quoteattr(finding.detail)}>{escape(words)}</failure>"
    else:
        outcome = f"<system-out>{escape(words)}</system-out>"
    file = quoteattr(finding.path)
    return f'<testcase classname={file} file={file} line="{finding.line}" name={name}>{outcome}</testcase>\n'
