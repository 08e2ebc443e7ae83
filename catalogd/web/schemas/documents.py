"""The component schemas of repositories, tags and history. What a document has comes from the schema that checks it."""

from __future__ import annotations

from catalogd.documents import schema
from catalogd.names import REPOSITORY_KIND
from catalogd.web.schemas.shared import (
    ACTION,
    ANY,
    BOOLEAN,
    COMMIT,
    COUNT,
    POINTER,
    TIME,
    Schema,
    closed,
    object_of,
    page_of,
    ref,
)

# What a caller may send; everything else of a document is the catalog's to write.
_SETTABLE = ("description", "full_description", "is_public", "logo", "labels", "build_config")


def components() -> dict[str, Schema]:
    """By name."""
    document = schema.openapi_schema(REPOSITORY_KIND)
    fields: dict[str, Schema] = document["properties"]
    return {
        "Repository": document,
        **_requests(fields),
        **_repositories(fields),
        **_tags(fields),
        **_history(),
        **_whole_catalog(),
    }


def _requests(fields: dict[str, Schema]) -> dict[str, Schema]:
    config = fields["build_config"]
    members: dict[str, Schema] = {**config["properties"], "tag_configs": ref("TagConfigs")}
    settable = {name: fields[name] for name in _SETTABLE} | {"build_config": {**config, "properties": members}}
    identity = {"repo_name": fields["repo_name"], "namespace": fields["namespace"]}
    image = fields["tags"]["items"]["properties"]
    return {
        "NewRepository": {
            **object_of({**identity, **settable}, optional=("namespace", *_SETTABLE)),
            "additionalProperties": False,
        },
        "RepositoryUpdate": {**object_of(settable, optional=_SETTABLE), "additionalProperties": False},
        "RepositoryPatch": {
            **object_of({**settable, **_patches(fields, members)}, optional=_SETTABLE),
            "additionalProperties": False,
            "description": "A merge patch (RFC 7396): null removes a label or a member of build_config, and brings "
            "back the default of another field. What is public says true or false.",
        },
        "NewTag": {
            **object_of(
                {name: image[name] for name in ("image_id", "digest", "architectures", "size") if name in image},
                optional=("digest", "architectures", "size"),
            ),
            "additionalProperties": False,
        },
        "TagConfigs": {
            **config["properties"]["tag_configs"],
            "items": ref("Json"),
            "additionalProperties": ref("Json"),
        },
        "Rollback": {
            **object_of({"commit": {"type": "string", "pattern": "^[0-9a-f]{7,40}$"}}),
            "additionalProperties": False,
        },
    }


def _or_null(value: Schema) -> Schema:
    return {"anyOf": [value, {"type": "null"}]}


def _patches(fields: dict[str, Schema], config: dict[str, Schema]) -> dict[str, Schema]:
    """Of what is merged. The null that removes a member is in the patch only: the schema checks the result."""
    label = _or_null(fields["labels"]["additionalProperties"])
    members = {name: _or_null(value) for name, value in config.items()}
    return {
        **{name: _or_null(fields[name]) for name in ("description", "full_description", "logo")},
        "labels": {**fields["labels"], "additionalProperties": label},
        "build_config": {**closed(members, optional=tuple(members)), "type": ["object", "null"]},
    }


def _repositories(fields: dict[str, Schema]) -> dict[str, Schema]:
    path: Schema = {"type": "string", "description": "namespace/repo_name"}
    automated: Schema = {
        **BOOLEAN,
        "description": "Whether build_config names a source that it is built from.",
    }

    def shown(*names: str) -> dict[str, Schema]:
        return {name: fields[name] for name in names}

    identity = {**shown("repo_name", "namespace"), "repo_path": path}
    counters = shown("download", "upload")
    activity = {"pulled_at": TIME, "pushed_at": TIME}
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
        "CreatedRepository": object_of(
            {
                **identity,
                "is_automated": automated,
                **shown("description"),
                "creation_time": TIME,
                "updated_time": TIME,
                **shown("is_public", "logo"),
            }
        ),
        "RepositoryRow": object_of(
            {
                **identity,
                "is_automated": automated,
                **shown("description"),
                "creation_at": TIME,
                "updated_at": TIME,
                **shown("is_public", "logo", "repo_starred_count", "full_description"),
                **counters,
                **activity,
                "created_at": TIME,
                **shown("labels"),
            }
        ),
        "RepositoryPage": page_of("RepositoryRow", "One page of repositories."),
        "UpdatedRepository": object_of({**identity, **shown("description", "is_public", "logo")}),
        "RepositoryDetail": object_of(
            {
                **shown("namespace", "repo_name"),
                "repo_path": path,
                "logo_file": {
                    "type": "string",
                    "description": "URL path of an image that this server serves.",
                },
                **shown("description", "full_description", "repo_starred_count"),
                "created_at": TIME,
                "updated_at": TIME,
                **shown("is_public", "logo"),
                "is_automated": automated,
                **counters,
                **activity,
                "is_repo_starred": {**BOOLEAN, "description": "Whether the caller has starred it."},
                **shown("labels"),
                "build_config": config,
            }
        ),
    }


def _tags(fields: dict[str, Schema]) -> dict[str, Schema]:
    stored = fields["tags"]["items"]["properties"]
    order = ("image_id", "tag", "digest", "pushed_at", "architectures", "size")
    known = {name: stored[name] for name in order if name in stored}
    return {
        "Tag": object_of(known, optional=("digest", "pushed_at", "architectures", "size")),
        "TagList": {"type": "array", "items": ref("Tag"), "description": "All tags, sorted by tag."},
    }


def _commit_members() -> dict[str, Schema]:
    return {
        "commit": COMMIT,
        "author": {"type": "string"},
        "committed_at": {"type": "string", "format": "date-time"},
        "proposal": {
            "type": ["integer", "null"],
            "description": "The number of the proposal that brought it; null, too, if the caller does not see it all.",
        },
        "reviewed_by": {"type": "array", "items": {"type": "string"}, "description": "Who approved that proposal."},
    }


def _history() -> dict[str, Schema]:
    message: Schema = {"type": "string"}
    fields: Schema = {"type": "array", "items": POINTER}
    return {
        "HistoryEntry": object_of({**_commit_members(), "message": message, "action": ACTION, "fields": fields}),
        "HistoryPage": page_of("HistoryEntry", "One page of the history, newest first."),
        "FieldChange": object_of({"pointer": POINTER, "before": ANY, "after": ANY}, optional=("before", "after")),
        "Diff": {"type": "array", "items": ref("FieldChange")},
        "Blame": {
            "type": "object",
            "additionalProperties": object_of(_commit_members()),
            "description": "By JSON pointer of the field: its last change.",
        },
    }


def _whole_catalog() -> dict[str, Schema]:
    message: Schema = {"type": "string"}
    named = {"namespace": {"type": "string"}, "repo_name": {"type": "string"}, "action": ACTION}
    # A commit may also change what is no repository: an organization or a schema. Then only the path tells.
    name_or_none: Schema = {"type": ["string", "null"]}
    touched = {"namespace": name_or_none, "repo_name": name_or_none, "action": ACTION}
    path = {"path": {"type": "string", "description": "The file in the catalog."}}
    change = object_of({**touched, **path}, optional=("path",))
    fields: Schema = {"type": "array", "items": ref("FieldChange")}
    detailed = object_of({**touched, **path, "fields": fields}, optional=("path",))
    entry = {**_commit_members(), "message": message}
    document = {"anyOf": [ref("Repository"), {"type": "null"}]}
    last = {
        "anyOf": [object_of(_commit_members()), {"type": "null"}],
        "description": "The last commit that touched it; null where the caller may not see that.",
    }
    return {
        "CommitEntry": object_of({**entry, "changes": {"type": "array", "items": change}}),
        "CommitPage": page_of("CommitEntry", "One page of commits, newest first."),
        "Commit": object_of({**entry, "count": COUNT, "changes": {"type": "array", "items": detailed}}),
        "Changes": object_of(
            {
                "from": COMMIT,
                "to": COMMIT,
                "results": {"type": "array", "items": object_of({**named, "last": last, "document": document})},
            }
        ),
    }
