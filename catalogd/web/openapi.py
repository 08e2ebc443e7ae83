"""The OpenAPI 3.1 description of the interface, from the table of routes; and the same as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from catalogd.names import COMPONENT, MAX_NAME, TAG
from catalogd.rights import Right
from catalogd.web import schemas
from catalogd.web.conditions import PATTERN
from catalogd.web.errors import ANYWHERE, KINDS, PROBLEM, is_git, kind_for_status
from catalogd.web.links import links
from catalogd.web.operation import Body, Operation, Reply
from catalogd.web.parameters import COMMIT, Parameter
from catalogd.web.routes import SECTIONS

Description = dict[str, Any]

# What a call that takes credentials may end in: they are wrong, too many wrong ones came before, or they cannot be
# looked at.
_WITH_CREDENTIALS = (401, 429, 503)
_ABOUT = (
    "A catalog of container image repositories, with the history of every one of them.\n\n"
    "Every path works with and without a slash at its end. Times are RFC 3339 in UTC. Public repositories "
    "can be read without credentials; what a caller may not read is a 404, as if it were not there. Every "
    "response has `X-Request-Id`; every reply to a read or a write of repositories, organizations, stars and "
    "proposals has `Catalog-Commit`, the commit that was read or made. Errors are `application/problem+json` (RFC "
    "9457).\n\n"
    "Any call may also end in 400 or 413 (a header, a parameter or the body is not what it takes), 431 (more than 64 "
    "KiB of headers), 500 or 501 (a transfer coding other than `chunked`); one that takes credentials in 401, 429 (too "
    "many wrong passwords) or 503.\n\n"
    "Names such as `RepositoryDetail` are those of schemas in `/openapi.json`, which `/docs` shows."
)

_PATH_PARAMETERS: dict[str, tuple[str, Description]] = {
    "namespace": (
        "The user or organization whose name it is.",
        {"type": "string", "pattern": f"^{COMPONENT}$", "maxLength": MAX_NAME, "examples": ["madams"]},
    ),
    "repo_name": (
        "The name of the repository.",
        {"type": "string", "pattern": f"^{COMPONENT}$", "maxLength": MAX_NAME, "examples": ["repo"]},
    ),
    "tag": ("The tag.", {"type": "string", "pattern": f"^{TAG}$", "examples": ["latest"]}),
    "user": (
        "The name of the user.",
        {"type": "string", "pattern": f"^{COMPONENT}$", "maxLength": MAX_NAME, "examples": ["alice"]},
    ),
    "token": ("The id of the token, as the list shows it.", {"type": "string", "pattern": "^[0-9a-z]{12}$"}),
    "number": ("The number of the proposal.", {"type": "integer", "minimum": 1, "examples": [1]}),
    "review": ("The id of a review of it.", {"type": "integer", "minimum": 1, "examples": [1]}),
    "commit": ("The id of a commit, of 7 digits or more.", {"type": "string", "pattern": f"^{COMMIT}$"}),
}

_REQUEST_HEADERS = {
    "If-Match": "Write only if what is there still has one of these ETags, or is there at all (`*`); else 412.",
    "If-None-Match": "Reply with 304 if what is asked for still has one of these ETags.",
}

_RESPONSE_HEADERS = {
    "X-Request-Id": "The caller's, if sane; else a new one.",
    "Catalog-Commit": "The commit that was read or made.",
    "ETag": "The version of this representation.",
    "Location": "The URL path of what was made.",
    "Link": "The neighbouring pages, as `next` and `prev` (RFC 8288).",
    "Docker-Distribution-Api-Version": "`registry/2.0`.",
    "X-Docker-Registry-Standalone": "`false`.",
    "WWW-Authenticate": "The schemes that are possible.",
    "Retry-After": "After how many seconds to try again.",
}
_ERROR_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def describe(operations: Iterable[Operation], version: str, server_url: str = "") -> Description:
    """The description of the operations. `server_url` is the configured base of the interface, if there is
    one.
    """
    operations = tuple(operations)
    paths: Description = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, operations)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "catalogd",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server_url or "/"}],
        "tags": [{"name": name, "description": text} for name, text in SECTIONS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "headers": {
                # A page that is the only one has no Link.
                name: {"description": text, "required": name != "Link", "schema": {"type": "string"}}
                for name, text in _RESPONSE_HEADERS.items()
            },
            "responses": _error_responses(operations),
            "securitySchemes": _SECURITY,
        },
    }


_SECURITY: Description = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Authorization: Token T`, with a token of `catalogd token create`.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same token as a bearer token."},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "A user's name with its password or a token of it.",
    },
}


def _operation(operation: Operation, operations: Iterable[Operation]) -> Description:
    replies = {
        str(reply.status): _reply(reply) | _linked(links(operation, reply.status, operations))
        for reply in operation.replies
    }
    for status in _errors(operation):
        replies.setdefault(str(status), {"$ref": f"#/components/responses/{_error_name(operation, status)}"})
    described: Description = {
        "operationId": operation.id,
        "tags": [operation.section],
        "summary": operation.summary,
        "description": f"{operation.description}\n\n{_needs(operation.right)}",
        "parameters": [
            *(_path_parameter(name) for name in re.findall(r"{(\w+)}", operation.path)),
            *(_query_parameter(parameter) for parameter in operation.parameters),
            *(_header_parameter(name) for name in operation.headers),
        ],
        "responses": replies,
        "security": _security(operation),
    }
    if operation.body is not None:
        described["requestBody"] = _body(operation.body)
    return described


def _errors(operation: Operation) -> list[int]:
    of_credentials = _WITH_CREDENTIALS if operation.right.takes_credentials else ()
    return sorted({*operation.errors, *of_credentials, *ANYWHERE})


def _error_name(operation: Operation, status: int) -> str:
    return f"git-{status}" if is_git(operation.path) else str(status)


def _error_responses(operations: Iterable[Operation]) -> Description:
    return {
        _error_name(operation, status): _problem(status, is_git(operation.path))
        for operation in operations
        for status in _errors(operation)
    }


def _linked(found: Description) -> Description:
    return {"links": found} if found else {}


def _needs(right: Right) -> str:
    scope = f" A token needs the scope `{right.least_scope}`." if right.least_scope else ""
    return f"Who may: {right.words[0].lower()}{right.words[1:]}{scope}"


def _security(operation: Operation) -> list[Description]:
    if not operation.right.takes_credentials:
        return []
    schemes: list[Description] = [{name: []} for name in _SECURITY]
    return schemes if operation.right.needs_credentials else [{}, *schemes]


def _path_parameter(name: str) -> Description:
    text, schema = _PATH_PARAMETERS[name]
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema}


def _query_parameter(parameter: Parameter) -> Description:
    described: Description = {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }
    if parameter.example is not None:
        described["example"] = parameter.example
    return described


def _header_parameter(name: str) -> Description:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": _REQUEST_HEADERS[name],
        "schema": {"type": "string", "format": "entity-tags", "pattern": f"^(?:{PATTERN})$", "examples": ["*"]},
    }


def _body(body: Body) -> Description:
    examples = {name: {"value": value} for name, value in body.examples.items()}
    media = {"schema": schemas.ref(body.schema), "examples": examples}
    return {"required": body.required, "content": dict.fromkeys(body.media_types, media)}


def _headers(names: Iterable[str]) -> Description:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def _reply(reply: Reply) -> Description:
    described: Description = {"description": reply.description, "headers": _headers(reply.headers)}
    if reply.schemas:
        described["content"] = {
            media_type: {"schema": schemas.ref(schema) if isinstance(schema, str) else schema}
            for media_type, schema in reply.schemas.items()
        }
    return described


def _problem(status: int, for_git: bool) -> Description:
    kinds = [kind for kind in KINDS if kind.status == status] or [kind_for_status(status)]
    return {
        "description": "; ".join(f"{kind.title} (`{kind.type}`)" for kind in kinds),
        "headers": _headers(_ERROR_HEADERS.get(status, ())),
        "content": {"text/plain": {"schema": {"type": "string"}}}
        if for_git
        else {PROBLEM: {"schema": schemas.ref("Problem")}},
    }


# --- Markdown


def markdown(description: Description) -> str:
    """The description as one Markdown document, for docs/api.md."""
    info = description["info"]
    parts = [f"# The interface of {info['title']}\n\n{info['description']}\n"]
    for section in description["tags"]:
        parts.append(f"## {section['name']}\n\n{section['description']}\n")
        parts.extend(
            _markdown_operation(method, path, operation)
            for path, methods in description["paths"].items()
            for method, operation in methods.items()
            if section["name"] in operation["tags"]
        )
    parts.append(_markdown_problems())
    return "\n".join(parts)


def _markdown_operation(method: str, path: str, operation: Description) -> str:
    lines = [
        f"### {operation['summary']}",
        "",
        f"`{method.upper()} {path}`",
        "",
        operation["description"],
        "",
    ]
    if operation["parameters"]:
        lines += ["| parameter | in | what it is |", "| --- | --- | --- |"]
        lines += [_markdown_parameter(parameter) for parameter in operation["parameters"]]
        lines.append("")
    body = operation.get("requestBody")
    if body is not None:
        media_types = " or ".join(f"`{name}`" for name in body["content"])
        lines += [f"Body: {media_types}.", ""]
        for example in next(iter(body["content"].values()))["examples"].values():
            lines += ["```json", json.dumps(example["value"], indent=2, ensure_ascii=False), "```", ""]
    lines += ["| status | what it says |", "| --- | --- |"]
    lines += [
        f"| {status} | {_markdown_response(status, reply)} |"
        for status, reply in operation["responses"].items()
        if int(status) not in ANYWHERE
    ]
    return "\n".join([*lines, ""])


def _markdown_parameter(parameter: Description) -> str:
    needed = " Needed." if parameter["required"] and parameter["in"] != "path" else ""
    return f"| `{parameter['name']}` | {parameter['in']} | {_cell(parameter['description'])}{needed} |"


def _markdown_response(status: str, reply: Description) -> str:
    if "$ref" in reply:
        return kind_for_status(int(status)).title
    names = [
        f"`{content['schema']['$ref'].rpartition('/')[2]}`" if "$ref" in content["schema"] else f"`{media_type}`"
        for media_type, content in reply.get("content", {}).items()
    ]
    return " ".join([_cell(reply["description"]), *names])


def _markdown_problems() -> str:
    lines = [
        "## Errors",
        "",
        "Every error has this form; `errors` is there where a document or a parameter is at fault. What keeps a "
        "proposal from being merged has `why_not` and `conflicts` too.",
        "",
        "```json",
        json.dumps(_PROBLEM_EXAMPLE, indent=2),
        "```",
        "",
        "| status | type | title |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {kind.status} | `{kind.type}` | {kind.title} |" for kind in KINDS]
    return "\n".join([*lines, ""])


_PROBLEM_EXAMPLE = {
    "type": "urn:catalogd:malformed",
    "title": "Malformed request",
    "status": 400,
    "detail": "The query is not valid: page must be a whole number from 1.",
    "request_id": "0b4c8f0e7f5b4a6c8a3b1de2f6a9c7d5",
    "errors": [{"pointer": "page", "detail": "must be a whole number from 1"}],
}


def _cell(text: str) -> str:
    """Text for a cell of a table, where a bar would begin the next one."""
    return text.replace("|", "\\|").replace("\n", " ")
