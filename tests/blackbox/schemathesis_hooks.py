"""What Schemathesis has to know of catalogd beyond the OpenAPI description; it loads this module by itself.

`SCHEMATHESIS_SITE` names a file of JSON: `url`, `command` (`catalogd` on the catalog), and `as`, "admin" or "nobody".
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import schemathesis
from hypothesis import strategies
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import IgnoredAuth, RejectedPositiveData, UseAfterFree

_SITE = json.loads(Path(os.environ["SCHEMATHESIS_SITE"]).read_text())
_SCOPES = ("read", "write", "admin", "registry", "catalog")

# What depends on what is there, or on another part of the request, so that no schema of a body can say it: these
# members may be refused with a 400 or a 422 although they fit. By call, as JSON pointers of the faults.
_BEYOND_SCHEMAS = {
    # Is there such a user, is it the last owner, commit, or document?
    "createNamespace": "/(owners|writers|readers).*",
    "updateNamespace": "/(owners|writers|readers).*",
    "patchNamespace": "/(owners|writers|readers).*",
    "rollbackRepository": "/commit",
    "createProposal": "/changes.*",
    "updateProposal": "/(changes|resolve).*",
    "reviewProposal": "/(comment|namespace|repo_name|pointer)",
    # The namespace is that of the path.
    "createRepository": "/namespace",
    # What a merge makes is what must fit, and is known with what was there.
    "patchRepository": "/build_config.*",
    "mergeTagConfigs": "/build_config(/tag_configs)?",
    # The future begins now; what is printable is no regular language of ECMA; who may have the scope admin?
    "createToken": "/(expires_at|name|scopes)",
    "changePassword": "/current_password",
    # The setting `registry_service`.
    "getRegistryToken": "service",
    "postRegistryToken": "service",
}

# Their bodies may have the head that a proposal is to have still.
_WITH_HEAD = ("updateProposal", "reviewProposal", "mergeProposal")
_OF_THE_PAST = ("getHistory", "getNamespaceHistory", "diffRepository")


class _Admin:
    """Who may do everything, also after a call that has taken the token, or the user, away."""

    def __init__(self) -> None:
        self.token = ""

    def look(self) -> None:
        if not self._is_good():
            name = f"keeper-{secrets.token_hex(4)}"
            scopes = [part for scope in _SCOPES for part in ("--scope", scope)]
            self._run("user", "add", name, "--admin")
            self.token = self._run("token", "create", name, *scopes).strip()

    def _is_good(self) -> bool:
        request = urllib.request.Request(f"{_SITE['url']}/v1/user", headers={"Authorization": f"Token {self.token}"})
        try:
            with urllib.request.urlopen(request) as reply:
                return set(_SCOPES) <= set(json.load(reply)["scopes"])
        except urllib.error.HTTPError:
            return False

    def _run(self, *arguments: str) -> str:
        return subprocess.run([*_SITE["command"], *arguments], check=True, capture_output=True, text=True).stdout


if _SITE["as"] == "admin":
    _admin = _Admin()
    _admin.look()

    @schemathesis.auth(refresh_interval=None)
    class _AsAdmin:
        def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str:
            return _admin.token

        def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
            case.headers["Authorization"] = f"Token {data}"

    @schemathesis.hook
    def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
        if response.request.method not in ("GET", "HEAD", "OPTIONS") and re.search("/v1/users?/", case.path):
            _admin.look()


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext,
    failure: Exception,
    case: schemathesis.Case,
    response: schemathesis.Response,
) -> bool:
    if isinstance(failure, IgnoredAuth):
        # A server that slows down those who guess passwords refuses the next guess with a 429 (RFC 6585, section 4).
        return "got `429 " not in failure.message
    if isinstance(failure, AcceptedNegativeData):
        # 412 is a refusal too: the condition is looked at before the body.
        return not (response.status_code == 412 and _has_condition(case))
    if isinstance(failure, UseAfterFree):
        # What is deleted has a history all the same, and earlier states.
        return case.operation.definition.raw["operationId"] not in _OF_THE_PAST and "at" not in (case.query or {})
    if isinstance(failure, RejectedPositiveData):
        return not _is_beyond_schemas(case, response)
    return True


def _is_beyond_schemas(case: schemathesis.Case, response: schemathesis.Response) -> bool:
    """Whether valid data was refused for a reason that a schema cannot have."""
    # These two tell of the state of what is there, as 404 and 409 do, which the check takes for granted.
    if response.status_code == 410:
        return "410" in case.operation.definition.raw["responses"]
    if response.status_code == 412:
        return _has_condition(case)
    may_be = _BEYOND_SCHEMAS.get(case.operation.definition.raw["operationId"])
    if response.status_code not in (400, 422) or may_be is None:
        return False
    faults = response.json().get("errors", [])
    return bool(faults) and all(re.fullmatch(may_be, fault["pointer"]) for fault in faults)


def _has_condition(case: schemathesis.Case) -> bool:
    """Whether a call names the version that it is about: by a header, or as the head of a proposal."""
    if any(name.lower() in ("if-match", "if-none-match") for name in case.headers or {}):
        return True
    return case.operation.definition.raw["operationId"] in _WITH_HEAD and "head" in (case.body or {})


# What git says when it wants nothing.
for _service in ("git-upload-pack", "git-receive-pack"):
    schemathesis.openapi.media_type(f"application/x-{_service}-request", strategies.just(b"0000"))

schemathesis.openapi.format("entity-tags", strategies.sampled_from(["*"] * 9 + ['"1c2d3e"', 'W/"1", "2.3"', '""']))
