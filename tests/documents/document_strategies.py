"""What hypothesis draws from: any JSON value, and documents that fit the schema."""

from __future__ import annotations

from hypothesis import strategies as st

from catalogd.documents.strict import MAX_INTEGER

IMAGE_ID = "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5"

_PLAIN = st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"))
_TEXT = st.text(_PLAIN | st.sampled_from('\t\n\r\\"[]{}'), max_size=20)
_LINE = st.text(_PLAIN, max_size=20)
_SCALARS = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(-1e6, 1e6) | _TEXT
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)

_TIMES = st.sampled_from(["2014-11-19T05:54:22.741Z", "2015-06-04T16:30:27.532Z", "2026-08-22T00:00:00.000Z"])
_COUNTS = st.integers(0, 5)
_ARCHITECTURES = st.lists(st.sampled_from(["amd64", "arm64/v8", "s390x"]), max_size=3, unique=True)
_TAGS = st.dictionaries(
    st.sampled_from(["latest", "1.0", "1.0-alpine", "_x", "2"]),
    st.fixed_dictionaries(
        {"image_id": st.sampled_from([IMAGE_ID, "0" * 64, "f" * 64])},
        optional={
            "digest": st.just(f"sha256:{IMAGE_ID}"),
            "pushed_at": st.none() | _TIMES,
            "architectures": _ARCHITECTURES,
        },
    ),
).map(lambda tags: [{"tag": name, **tag} for name, tag in tags.items()])
_SETTINGS = st.dictionaries(_LINE, st.none() | st.booleans() | _COUNTS | _TEXT, max_size=3)

# Small choices, so that two of them often agree on a field.
DOCUMENTS = st.fixed_dictionaries(
    {"namespace": st.just("acme"), "repo_name": st.just("web")},
    optional={
        "description": st.sampled_from(["", "a", "b"]) | _LINE,
        "full_description": _TEXT,
        "is_public": st.booleans(),
        "logo": st.sampled_from(["default-icon.jpg", "x.png"]),
        "labels": st.none() | st.dictionaries(st.sampled_from(["a", "a/b", "x.y"]), st.sampled_from(["1", "2"])),
        "build_config": st.none()
        | st.fixed_dictionaries(
            {"code_repo_client": st.sampled_from(["Simple", "GitHub"])},
            optional={"code_repo_name": st.sampled_from(["", "web"]), "tag_configs": _SETTINGS},
        ),
        "created_at": _TIMES,
        "updated_at": _TIMES,
        "pushed_at": st.none() | _TIMES,
        "pulled_at": st.none() | _TIMES,
        "download": _COUNTS,
        "upload": _COUNTS,
        "repo_starred_count": _COUNTS,
        "tags": _TAGS,
    },
)
