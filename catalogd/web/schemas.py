"""The component schemas of the OpenAPI description. What a document has comes from the schema that checks
documents.
"""

from __future__ import annotations

from typing import Any

from catalogd.documents import schema
from catalogd.names import REPOSITORY_KIND
from catalogd.web.errors import KINDS

Schema = dict[str, Any]

_TIME: Schema = {"type": ["string", "null"], "format": "date-time", "examples": ["2014-11-19T05:54:22.741Z"]}
_COMMIT: Schema = {
    "type": "string",
    "pattern": "^[0-9a-f]{40,64}$",
    "description": "The id of a commit.",
    "examples": ["9fceb02d0ae598e95dc970b74767f19372d61af8"],
}
_POINTER: Schema = {
    "type": "string",
    "description": "RFC 6901 JSON pointer to the field; empty for the whole.",
}
_ANY: Schema = {"description": "Any JSON value; left out where the field is absent."}
_BOOLEAN: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_ACTION: Schema = {"type": "string", "enum": ["created", "updated", "deleted", "restored"]}

# What a caller may send; everything else of a document is the catalog's to write.
_SETTABLE = ("description", "full_description", "is_public", "logo", "labels", "build_config")


def components() -> dict[str, Schema]:
    """All component schemas by name."""
    document = schema.openapi_schema(REPOSITORY_KIND)
    fields: dict[str, Schema] = document["properties"]
    return {
        "Repository": document,
        **_requests(fields),
        **_repositories(fields),
        **_tags(fields),
        **_history(),
        **_whole_catalog(),
        "Problem": _problem(),
    }


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _page(name: str, description: str) -> Schema:
    link: Schema = {"type": ["string", "null"], "format": "uri"}
    return {
        **_object(
            {
                "count": _COUNT,
                "next": link,
                "previous": link,
                "results": {"type": "array", "items": ref(name)},
            }
        ),
        "description": description,
    }


def _requests(fields: dict[str, Schema]) -> dict[str, Schema]:
    settable = {name: fields[name] for name in _SETTABLE}
    identity = {"repo_name": fields["repo_name"], "namespace": fields["namespace"]}
    # The null that removes a member is in the patch only, so it is the result that the schema checks.
    loose: Schema = {"type": ["object", "null"]}
    image = fields["tags"]["items"]["properties"]
    return {
        "NewRepository": {
            **_object({**identity, **settable}, optional=("namespace", *_SETTABLE)),
            "additionalProperties": False,
        },
        "RepositoryUpdate": {**_object(settable, optional=_SETTABLE), "additionalProperties": False},
        "RepositoryPatch": {
            **_object({**settable, "labels": loose, "build_config": loose}, optional=_SETTABLE),
            "additionalProperties": False,
            "description": "A merge patch (RFC 7396): null removes a label, or a member of build_config.",
        },
        "NewTag": {
            **_object(
                {name: image[name] for name in ("image_id", "digest", "architectures") if name in image},
                optional=("digest", "architectures"),
            ),
            "additionalProperties": False,
        },
        "TagConfigs": {
            "type": ["object", "array"],
            "description": "Merged into build_config.tag_configs, member by member.",
        },
        "Rollback": {
            **_object({"commit": {"type": "string", "pattern": "^[0-9a-f]{7,64}$"}}),
            "additionalProperties": False,
        },
    }


def _repositories(fields: dict[str, Schema]) -> dict[str, Schema]:
    path: Schema = {"type": "string", "description": "namespace/repo_name"}
    automated: Schema = {
        **_BOOLEAN,
        "description": "Whether build_config names a source that it is built from.",
    }

    def shown(*names: str) -> dict[str, Schema]:
        return {name: fields[name] for name in names}

    identity = {**shown("repo_name", "namespace"), "repo_path": path}
    counters = shown("download", "upload")
    activity = {"pulled_at": _TIME, "pushed_at": _TIME}
    config_string: Schema = {"type": "string"}
    config = {
        "type": "object",
        "properties": {
            "code_repo_client": config_string,
            "created_by": {**config_string, "description": "The namespace."},
            "docker_repo_path": {**config_string, "description": "namespace/repo_name"},
            "code_repo_path": {
                **config_string,
                "description": "namespace/name of the source; empty if unknown.",
            },
        },
        "required": ["code_repo_client", "created_by", "docker_repo_path", "code_repo_path"],
        "description": "What is stored, and four strings that are always there.",
    }
    return {
        "CreatedRepository": _object(
            {
                **identity,
                "is_automated": automated,
                **shown("description"),
                "creation_time": _TIME,
                "updated_time": _TIME,
                **shown("is_public", "logo"),
            }
        ),
        "RepositoryRow": _object(
            {
                **identity,
                "is_automated": automated,
                **shown("description"),
                "creation_at": _TIME,
                "updated_at": _TIME,
                **shown("is_public", "logo", "repo_starred_count", "full_description"),
                **counters,
                **activity,
                "created_at": _TIME,
                **shown("labels"),
            }
        ),
        "RepositoryPage": _page("RepositoryRow", "One page of repositories."),
        "UpdatedRepository": _object({**identity, **shown("description", "is_public", "logo")}),
        "RepositoryDetail": _object(
            {
                **shown("namespace", "repo_name"),
                "repo_path": path,
                "logo_file": {
                    "type": "string",
                    "description": "URL path of an image that this server serves.",
                },
                **shown("description", "full_description", "repo_starred_count"),
                "created_at": _TIME,
                "updated_at": _TIME,
                **shown("is_public", "logo"),
                "is_automated": automated,
                **counters,
                **activity,
                "is_repo_starred": {**_BOOLEAN, "description": "Whether the caller has starred it."},
                **shown("labels"),
                "build_config": config,
            }
        ),
    }


def _tags(fields: dict[str, Schema]) -> dict[str, Schema]:
    stored = fields["tags"]["items"]["properties"]
    order = ("image_id", "tag", "digest", "pushed_at", "architectures")
    known = {name: stored[name] for name in order if name in stored}
    return {
        "Tag": _object(known, optional=("digest", "pushed_at", "architectures")),
        "TagList": {"type": "array", "items": ref("Tag"), "description": "All tags, sorted by tag."},
    }


def _commit_members() -> dict[str, Schema]:
    return {
        "commit": _COMMIT,
        "author": {"type": "string"},
        "committed_at": {"type": "string", "format": "date-time"},
    }


def _history() -> dict[str, Schema]:
    message: Schema = {"type": "string"}
    fields: Schema = {"type": "array", "items": _POINTER}
    return {
        "HistoryEntry": _object({**_commit_members(), "message": message, "action": _ACTION, "fields": fields}),
        "HistoryPage": _page("HistoryEntry", "One page of the history, newest first."),
        "FieldChange": _object({"pointer": _POINTER, "before": _ANY, "after": _ANY}, optional=("before", "after")),
        "Diff": {"type": "array", "items": ref("FieldChange")},
        "Blame": {
            "type": "object",
            "additionalProperties": _object(_commit_members()),
            "description": "By JSON pointer of the field: its last change.",
        },
    }


def _whole_catalog() -> dict[str, Schema]:
    message: Schema = {"type": "string"}
    named = {"namespace": {"type": "string"}, "repo_name": {"type": "string"}, "action": _ACTION}
    # A commit may also change what is no repository: an organization or a schema. Then only the path tells.
    name_or_none: Schema = {"type": ["string", "null"]}
    touched = {"namespace": name_or_none, "repo_name": name_or_none, "action": _ACTION}
    path = {"path": {"type": "string", "description": "The file in the catalog."}}
    change = _object({**touched, **path}, optional=("path",))
    fields: Schema = {"type": "array", "items": ref("FieldChange")}
    detailed = _object({**touched, **path, "fields": fields}, optional=("path",))
    entry = {**_commit_members(), "message": message}
    document = {"anyOf": [ref("Repository"), {"type": "null"}]}
    return {
        "CommitEntry": _object({**entry, "changes": {"type": "array", "items": change}}),
        "CommitPage": _page("CommitEntry", "One page of commits, newest first."),
        "Commit": _object({**entry, "count": _COUNT, "changes": {"type": "array", "items": detailed}}),
        "Changes": _object(
            {
                "from": _COMMIT,
                "to": _COMMIT,
                "results": {"type": "array", "items": _object({**named, "document": document})},
            }
        ),
        "Health": _object(
            {
                "status": {"type": "string", "enum": ["ok", "degraded", "failing"]},
                "commit": {"anyOf": [_COMMIT, {"type": "null"}]},
                "read_model": {"type": "object"},
                "store": {"type": "object"},
                "faults": {**_COUNT, "description": "How many documents have been broken by hand."},
            }
        ),
    }


def _problem() -> Schema:
    fault = _object({"pointer": _POINTER, "detail": {"type": "string", "description": "What would be right."}})
    return {
        **_object(
            {
                "type": {"type": "string", "enum": [kind.type for kind in KINDS]},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "request_id": {
                    "type": "string",
                    "description": "As in X-Request-Id, and in the server's log.",
                },
                "errors": {"type": "array", "items": fault},
            },
            optional=("request_id", "errors"),
        ),
        "description": "RFC 9457.",
    }
