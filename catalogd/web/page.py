"""The page at `/docs`, rendered from the OpenAPI description alone: readable without scripts, and with them
usable to try calls.

Everything that is put into the markup is escaped; the one style and the one script are our own and allowed
by their hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from html import escape
from importlib import resources
from typing import Any

from catalogd.web.errors import ANYWHERE

Description = dict[str, Any]

_CODE = re.compile(r"`([^`]+)`")


def render(description: Description) -> tuple[bytes, str]:
    """(the page in UTF-8, the Content-Security-Policy that it needs)."""
    style, script = _static("docs.css"), _static("docs.js")
    info = description["info"]
    html = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(info["title"])}: the interface</title>
<style>{style}</style>
</head>
<body data-server="{escape(description["servers"][0]["url"])}">
<a class="skip" href="#content">Skip to the calls</a>
<header>
<h1>{escape(info["title"])} <small>{escape(info["version"])}</small></h1>
{_prose(info["description"])}
<p>The same as <a href="/openapi.json">OpenAPI 3.1</a>.</p>
<form class="credentials" hidden autocomplete="off">
<label>Token to try calls with (this page forgets it when it is closed)
<input type="password" name="token" autocomplete="off" spellcheck="false"></label>
</form>
</header>
<nav aria-label="Calls">{"".join(_navigation(description))}</nav>
<main id="content">{"".join(_sections(description))}</main>
<script>{script}</script>
</body>
</html>
"""
    return html.encode("utf-8", "replace"), _policy(style, script)


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _static(name: str) -> str:
    return resources.files("catalogd.web").joinpath("static", name).read_text("utf-8")


def _operations(description: Description, section: str) -> Iterable[tuple[str, str, Description]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            if section in operation["tags"]:
                yield method.upper(), path, operation


def _navigation(description: Description) -> Iterable[str]:
    for section in description["tags"]:
        yield f"<h2>{escape(section['name'])}</h2><ul>"
        for method, _, operation in _operations(description, section["name"]):
            yield (
                f'<li><a href="#{escape(operation["operationId"])}">{_badge(method)} '
                f"{escape(operation['summary'])}</a></li>"
            )
        yield "</ul>"


def _sections(description: Description) -> Iterable[str]:
    for section in description["tags"]:
        yield f"<section><h2>{escape(section['name'])}</h2>{_prose(section['description'])}"
        for method, path, operation in _operations(description, section["name"]):
            yield _operation(description, method, path, operation)
        yield "</section>"


def _operation(description: Description, method: str, path: str, operation: Description) -> str:
    name = escape(operation["operationId"])
    return f"""
<article id="{name}" data-method="{escape(method)}" data-path="{escape(path)}">
<h3><a href="#{name}">{escape(operation["summary"])}</a></h3>
<p class="call">{_badge(method)} <code>{_breakable(path)}</code></p>
{_prose(operation["description"])}
{_parameters(operation["parameters"])}
{_body(description, operation.get("requestBody"))}
{_responses(description, operation["responses"])}
</article>"""


def _badge(method: str) -> str:
    return f'<b class="method {escape(method.lower())}">{escape(method)}</b>'


def _breakable(path: str) -> str:
    return escape(path).replace("/", "/<wbr>")


def _prose(text: str) -> str:
    """Paragraphs, with what stands in backquotes as code."""
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in text.split("\n\n"))


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _parameters(parameters: list[Description]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr {_data(parameter)}>"
        f'<th scope="row"><code>{escape(parameter["name"])}</code>{_star(parameter["required"])}</th>'
        f"<td>{escape(parameter['in'])}</td>"
        f"<td>{_inline(parameter['description'])} {_limits(parameter['schema'])}</td></tr>"
        for parameter in parameters
    )
    return _table("Parameters (* needed)", ("Name", "In", "What it is"), rows)


def _data(parameter: Description) -> str:
    """What the script has to know of a parameter."""
    known = {"name": parameter["name"], "in": parameter["in"]}
    if parameter["required"]:
        known["required"] = "yes"
    if "enum" in parameter["schema"]:
        known["options"] = " ".join(map(str, parameter["schema"]["enum"]))
    return " ".join(f'data-{key}="{escape(value)}"' for key, value in known.items())


def _table(caption: str, columns: Iterable[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    head = f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
    return f"<table>{head}<tbody>{rows}</tbody></table>"


def _star(there: bool) -> str:
    return " *" if there else ""


def _limits(schema: Description) -> str:
    said = [f"one of {', '.join(map(str, schema['enum']))}"] if "enum" in schema else []
    words = {
        "minimum": "from {}",
        "maximum": "to {}",
        "maxLength": "at most {} characters",
        "default": "{} by default",
    }
    said += [words[key].format(schema[key]) for key in words if key in schema]
    return f"<small>{escape('; '.join(said))}</small>" if said else ""


def _body(description: Description, body: Description | None) -> str:
    if body is None:
        return ""
    media_types = list(body["content"])
    media = body["content"][media_types[0]]
    examples = "".join(
        f'<p class="caption">Example: {escape(name)}</p>'
        f'<pre tabindex="0" data-example="{escape(name)}" data-type="{escape(media_types[0])}">'
        f"{escape(_pretty(example['value']))}</pre>"
        for name, example in media["examples"].items()
    )
    types = " or ".join(f"<code>{escape(name)}</code>" for name in media_types)
    return f"<h4>Body</h4><p>{types}</p>{_members(description, media['schema'], 'needed')}{examples}"


def _responses(description: Description, responses: Description) -> str:
    said = (_response(description, *reply) for reply in responses.items() if int(reply[0]) not in ANYWHERE)
    return f"<h4>Replies</h4>{''.join(said)}"


def _response(description: Description, status: str, reply: Description) -> str:
    reply = _resolve(description, reply)
    members = ""
    if int(status) < 400:
        members = "".join(_members(description, content["schema"]) for content in reply.get("content", {}).values())
    summary = f"<b>{escape(status)}</b> {_inline(reply['description'])}"
    if not members:
        return f'<p class="reply">{summary}</p>'
    return f'<details class="reply"><summary>{summary}</summary>{members}</details>'


def _members(description: Description, schema: Description, mark: str = "always") -> str:
    """The members of an object; `mark` says what the star on some of them means."""
    schema = _resolve(description, schema)
    if schema.get("type") == "array":
        return f"<p>An array of:</p>{_members(description, schema['items'], mark)}"
    properties = schema.get("properties")
    if not properties:
        return ""
    required = schema.get("required", ())
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code>{_star(name in required)}</th>'
        f"<td>{escape(_type(description, member))}</td>"
        f"<td>{_inline(_resolve(description, member).get('description', ''))}</td></tr>"
        for name, member in properties.items()
    )
    caption = f"Members (* {mark})" if required else "Members"
    return _table(caption, ("Name", "Type", "What it is"), rows)


def _type(description: Description, schema: Description) -> str:
    if "$ref" in schema and "properties" in _resolve(description, schema):
        return str(schema["$ref"].rpartition("/")[2])
    schema = _resolve(description, schema)
    if "anyOf" in schema:
        return " or ".join(_type(description, option) for option in schema["anyOf"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {_type(description, schema.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _resolve(description: Description, node: Description) -> Description:
    """What a `$ref` within the description points to; the node itself if it has none."""
    reference = node.get("$ref")
    if reference is None:
        return node
    target = description
    for step in reference.removeprefix("#/").split("/"):
        target = target[step]
    return target


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
