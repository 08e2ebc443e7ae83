"""What documents may be: the built-in schemas, those of a catalog, and the words in which a fault is told."""

from __future__ import annotations

import copy
import json
import socket
import time

import pytest
from document_strategies import DOCUMENTS, IMAGE_ID
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from catalogd.documents import Schemas, builtin_schema, canonical, describe, openapi_schema
from catalogd.documents.compiled import compiled
from catalogd.documents.dialect import read, to_python
from catalogd.errors import BrokenSchema

SCHEMAS = Schemas()
MINIMAL = {"namespace": "acme", "repo_name": "web"}
TAG = {"tag": "latest", "image_id": IMAGE_ID}


def faults(document=None, /, *, schemas=SCHEMAS, kind="repository", **fields):
    """pointer -> detail of what is wrong with the document, or with the smallest one and these fields."""
    document = {**MINIMAL, **fields} if document is None else document
    return {fault.pointer: fault.detail for fault in schemas.check(kind, document)}


def site(schema, kind="repository"):
    return Schemas({kind: schema if isinstance(schema, bytes) else json.dumps(schema).encode()})


def config(**fields):
    return {"code_repo_client": "GitHub", **fields}


def _fields_of(schema, pointer=""):
    """(pointer, schema) of every part of a schema that describes a value."""
    yield pointer, schema
    for name, member in schema.get("properties", {}).items():
        yield from _fields_of(member, f"{pointer}/{name}")
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(keyword), dict):
            yield from _fields_of(schema[keyword], f"{pointer}/<{keyword}>")


FIELDS = [
    pytest.param(field, id=f"{kind}{pointer}")
    for kind in ("repository", "namespace")
    for pointer, field in _fields_of(json.loads(builtin_schema(kind)))
]
LIMITS = {
    "string": {"maxLength"},
    "array": {"maxItems"},
    "object": {"maxProperties"},
    "integer": {"minimum", "maximum"},
    "boolean": set(),
    "null": set(),
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_has_a_title_a_description_and_a_limit(field):
    assert field["title"]
    assert field["description"]
    types = [field["type"]] if isinstance(field["type"], str) else field["type"]
    for name in types:
        assert LIMITS[name] <= field.keys(), f"{name} without a limit"
    if "string" in types:
        assert field.keys() & {"pattern", "enum"}, "control characters are not refused"
    if "object" in types:
        assert "additionalProperties" in field or "propertyNames" in field, "any key is taken"


@pytest.mark.parametrize("field", FIELDS)
def test_every_example_and_default_fits_its_own_schema(field):
    fits = compiled({**field, "pattern": to_python(field["pattern"])} if "pattern" in field else field)
    for example in [*field.get("examples", []), *([field["default"]] if "default" in field else [])]:
        assert fits(example), example


@pytest.mark.parametrize("kind", ["repository", "namespace"])
def test_the_schema_files_are_draft_2020_12_and_know_the_fields_of_canonical_form(kind):
    schema = json.loads(builtin_schema(kind))
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:catalogd:schema:{kind}"
    names = list(schema["properties"])
    assert names == [name for name in canonical.FIELDS if name in names]


def test_the_openapi_schema_is_a_copy_that_can_be_embedded():
    schema = openapi_schema("repository")
    assert not {"$id", "$schema"} & schema.keys()
    assert "$ref" not in json.dumps(schema)
    schema.clear()
    assert openapi_schema("repository")


def test_the_smallest_and_a_full_document_fit():
    assert faults() == {}
    assert (
        faults(
            description="Ein Webserver – schnell",
            full_description="# web\n\n\tcode\r\n",
            is_public=False,
            logo="web_1.svg",
            labels={"a": "", "acme.example/team-1": "x"},
            build_config=config(
                code_repo_clone_url="git@example.com:acme/web.git", tag_configs={"latest": [{"a": None}]}
            ),
            created_at="2014-11-19T05:54:22.741Z",
            updated_at="2014-11-19T05:54:22.741Z",
            pushed_at=None,
            pulled_at="2014-11-19T05:54:22.741Z",
            download=2**53 - 1,
            upload=0,
            repo_starred_count=1,
            tags=[
                {**TAG, "digest": f"sha256:{IMAGE_ID}", "architectures": ["amd64", "arm64/v8"]},
                {**TAG, "tag": "_1"},
            ],
        )
        == {}
    )


@given(DOCUMENTS)
def test_what_fits_still_fits_when_it_is_complete(document):
    assert faults(document) == faults(canonical.complete(document)) == {}


REFUSED = {
    "a description of 1,001 characters": (
        {"description": "x" * 1001},
        "/description",
        "at most 1,000 characters, and has 1,001",
    ),
    "a description with a newline": ({"description": "a\nb"}, "/description", "on one line without control"),
    "a description with a trailing newline": (
        {"description": "a\n"},
        "/description",
        "not of the right form",
    ),
    "a terminal escape": ({"description": "\x1b[31m"}, "/description", "not of the right form"),
    "a terminal escape of 8 bits": (
        {"full_description": "\x9b31m"},
        "/full_description",
        "not of the right form",
    ),
    "too much text": ({"full_description": "x" * 100_001}, "/full_description", "at most 100,000 characters"),
    "a string for true": ({"is_public": "yes"}, "/is_public", 'must be true or false, not "yes"'),
    "1 for true": ({"is_public": 1}, "/is_public", "must be true or false, not 1"),
    "true for a count": ({"download": True}, "/download", "must be a whole number, not true"),
    "half a pull": ({"download": 1.5}, "/download", "must be a whole number, not 1.5"),
    "a negative count": ({"upload": -1}, "/upload", "must be at least 0, not -1"),
    "a count beyond all readers": ({"upload": 2**53}, "/upload", "must be at most 9007199254740991"),
    "a logo elsewhere": ({"logo": "../x.png"}, "/logo", "File name of an image"),
    "a logo that is a page": ({"logo": "x.html"}, "/logo", "File name of an image"),
    "a logo with a trailing newline": ({"logo": "x.png\n"}, "/logo", "File name of an image"),
    "a label without a value": ({"labels": {"a": None}}, "/labels/a", "must be a string, not null"),
    "a key in capitals": (
        {"labels": {"A/b": "x"}},
        "/labels/A~1b",
        "is not a valid key: .*lower-case letters",
    ),
    "a key that ends in a newline": ({"labels": {"a\n": "x"}}, "/labels/a\n", "is not a valid key"),
    "a key of 129 characters": (
        {"labels": {"a" * 129: "x"}},
        "/labels/" + "a" * 129,
        "at most 128 characters",
    ),
    "101 labels": (
        {"labels": {f"k{n}": "" for n in range(101)}},
        "/labels",
        "at most 100 members, and has 101",
    ),
    "a time without milliseconds": (
        {"created_at": "2014-11-19T05:54:22Z"},
        "/created_at",
        "with milliseconds and Z",
    ),
    "a time that does not exist": (
        {"updated_at": "2014-02-30T05:54:22.741Z"},
        "/updated_at",
        "is no date-time that exists",
    ),
    "the 25th hour": ({"pushed_at": "2014-02-03T25:54:22.741Z"}, "/pushed_at", "is no date-time that exists"),
    "an unknown service": (
        {"build_config": config(code_repo_client="CVS")},
        "/build_config/code_repo_client",
        'must be one of "Simple", "GitHub", "Bitbucket", "OSChina", not "CVS"',
    ),
    "no service": ({"build_config": {}}, "/build_config/code_repo_client", "is required"),
    "a command as an address": (
        {"build_config": config(code_repo_clone_url="ext::sh -c id")},
        "/build_config/code_repo_clone_url",
        "What git clones",
    ),
    "an option as an address": (
        {"build_config": config(code_repo_clone_url="--upload-pack=id")},
        "/build_config/code_repo_clone_url",
        "What git clones",
    ),
    "an option as a host": (
        {"build_config": config(code_repo_clone_url="ssh://-oProxyCommand=id/x")},
        "/build_config/code_repo_clone_url",
        "What git clones",
    ),
    "a file as an address": (
        {"build_config": config(code_repo_clone_url="file:///etc/passwd")},
        "/build_config/code_repo_clone_url",
        "What git clones",
    ),
    "settings that are a string": (
        {"build_config": config(tag_configs="x")},
        "/build_config/tag_configs",
        "must be an object or a list",
    ),
    "settings that are too large": (
        {"build_config": config(tag_configs=["x" * 300_000])},
        "/build_config/tag_configs",
        "at most 262,144 bytes",
    ),
    "an unknown field": (
        {"__proto__": {}},
        "/__proto__",
        "is not a known field and must be left out; known are namespace",
    ),
    "a derived field": ({"repo_path": "acme/web"}, "/repo_path", "is not a known field"),
    "tags that are an object": ({"tags": {}}, "/tags", "must be a list, not an object"),
    "a tag without an image": (
        {"tags": [{"tag": "x"}]},
        "/tags/0/image_id",
        "is required. What it should be: 64 lower-case",
    ),
    "an image id in capitals": (
        {"tags": [{**TAG, "image_id": IMAGE_ID.upper()}]},
        "/tags/0/image_id",
        "64 lower-case hexadecimal",
    ),
    "a short digest": (
        {"tags": [{**TAG, "digest": "sha512:" + IMAGE_ID}]},
        "/tags/0/digest",
        "sha512: and 128",
    ),
    "a tag that begins with a dash": ({"tags": [{**TAG, "tag": "-x"}]}, "/tags/0/tag", "not beginning with"),
    "a tag with a newline": ({"tags": [{**TAG, "tag": "x\n"}]}, "/tags/0/tag", "1 to 128 letters"),
    "an architecture twice": (
        {"tags": [{**TAG, "architectures": ["a", "a"]}]},
        "/tags/0/architectures",
        'the same item twice, as it does "a"',
    ),
    "two tags of one name": (
        {"tags": [TAG, {**TAG, "image_id": "0" * 64}]},
        "/tags/1/tag",
        '"latest" is the name of another tag',
    ),
    "10,001 tags": (
        {"tags": [{**TAG, "tag": str(n)} for n in range(10_001)]},
        "/tags",
        "at most 10,000 items, and has 10,001",
    ),
    "a name with a newline": ({"repo_name": "web\n"}, "/repo_name", "must be lower-case"),
    "a name that is a path": ({"namespace": ".."}, "/namespace", "must be lower-case"),
    "a device of Windows": ({"repo_name": "aux.txt"}, "/repo_name", "device name"),
    "a name that ends in .json": ({"repo_name": "x.json"}, "/repo_name", "must not end"),
    "a number as a name": ({"repo_name": 1}, "/repo_name", "must be a string"),
}


@pytest.mark.parametrize(("fields", "pointer", "words"), REFUSED.values(), ids=REFUSED)
def test_a_fault_is_told_with_its_pointer_and_what_would_be_right(fields, pointer, words):
    found = faults(**fields)
    assert pointer in found
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found[pointer])


def test_missing_names_are_each_told():
    assert set(faults({})) == {"/namespace", "/repo_name"}


@pytest.mark.parametrize("document", [None, 1, "x", [], True])
def test_a_document_that_is_no_object_is_told_so(document):
    assert SCHEMAS.check("repository", document)[0].pointer == ""


def test_the_names_must_be_those_of_the_path():
    (fault,) = SCHEMAS.check("repository", MINIMAL, identity=("acme", "api"))
    assert (fault.pointer, fault.detail) == (
        "/repo_name",
        'must be "api", as in the document\'s path, not "web"',
    )
    assert SCHEMAS.check("repository", MINIMAL, identity=("acme", "web")) == []
    assert SCHEMAS.check("namespace", {"namespace": "acme"}, identity=("tools",))[0].pointer == "/namespace"


def test_an_organization_has_members_that_are_users():
    assert faults({"namespace": "acme", "owners": ["alice"], "readers": []}, kind="namespace") == {}
    found = faults({"namespace": "acme", "owners": ["a", "a"], "writers": ["A B"], "tags": []}, kind="namespace")
    assert set(found) == {"/owners", "/writers/0", "/tags"}


def test_at_most_twenty_faults_are_told_and_no_value_at_length():
    document = {**MINIMAL, **{f"x{n}": 1 for n in range(50)}, "tags": [{"tag": "\n" * 5000}] * 50}
    found = SCHEMAS.check("repository", document)
    assert len(found) == 20
    assert max(len(fault.detail) for fault in found) < 500
    assert not any("\n" in fault.detail for fault in found)


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
@pytest.mark.parametrize("field", ["labels", "tags", "namespace", "x", "build_config"])
def test_no_depth_leads_to_anything_but_a_fault(field, wrap):
    value = 1
    for _ in range(5000):
        value = wrap(value)
    assert faults(**{field: value})
    assert faults(tags=[{**TAG, "architectures": [value, value]}])


def test_settings_may_have_sixteen_levels():
    value = []
    for _ in range(15):
        value = [value]
    assert faults(build_config=config(tag_configs=value)) == {}
    assert "/build_config" in faults(build_config=config(tag_configs=[value]))


def test_a_large_document_is_checked_in_no_time_right_or_wrong():
    document = {
        **MINIMAL,
        "tags": [{**TAG, "tag": f"t{n}", "architectures": ["amd64"]} for n in range(10_000)],
    }
    wrong = copy.deepcopy(document)
    wrong["tags"][-1]["image_id"] = 1
    began = time.thread_time()
    assert faults(document) == {}
    assert set(faults(wrong)) == {"/tags/9999/image_id"}
    assert time.thread_time() - began < 2


def test_of_what_is_too_many_no_member_is_looked_at():
    labels = {f"K{n}": n for n in range(400_000)}
    began = time.process_time()
    assert set(faults(labels=labels)) == {"/labels"}
    assert set(faults(build_config=config(tag_configs=labels))) == {"/build_config/tag_configs"}
    assert time.process_time() - began < 2


_PARTS = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "a\n", IMAGE_ID, [], ["a", "a"], {}, {"a": "b"}, {"tag": "x"}, [TAG]]
)


@given(DOCUMENTS, st.dictionaries(st.sampled_from([*canonical.FIELDS, "x"]), _PARTS, max_size=3))
def test_the_compiled_schema_decides_as_jsonschema_does(document, parts):
    schema = read(builtin_schema("repository"), "the schema")
    assert compiled(schema)({**document, **parts}) == Draft202012Validator(schema).is_valid({**document, **parts})


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("^[a-z]+$", "abc", "abc\n"),
        ("^a\\$$", "a$", "a"),
        ("^[$]$", "$", "$\n"),
        ("^[\\]$]+$", "]$", "]\n"),
        ("^[[a]$", "[", "b"),
        ("^[a[]$", "[", "[]"),
        ("^\\d$", "1", "١"),
        ("^\\w$", "_", "é"),
        ("^[\\w.]$", ".", "é"),
        ("^(?:a|b$)", "b", "b\n"),
    ],
)
def test_patterns_mean_what_they_mean_in_json_schema(pattern, matching, other):
    schemas = site({"properties": {"description": {"pattern": pattern}}})
    own = schemas._rules["repository"][1]
    assert own.faults({"description": matching}) == []
    assert own.faults({"description": other})


def test_a_catalog_may_tighten_the_rules_but_not_loosen_them():
    schemas = site(
        {
            "required": ["description"],
            "properties": {"description": {"minLength": 10}, "x": {"type": "string"}},
        }
    )
    assert faults(schemas=schemas) == {"/description": "is required"}
    assert faults(schemas=schemas, description="short") == {
        "/description": "must have at least 10 characters, and has 5"
    }
    assert "/x" in faults(schemas=schemas, description="long enough", x="y")


def test_a_catalog_with_the_projects_own_schema_is_checked_once():
    assert len(Schemas({"repository": builtin_schema("repository")})._rules["repository"]) == 1
    assert len(site(builtin_schema("repository") + b"\n")._rules["repository"]) == 2


def test_keywords_that_are_not_compiled_are_left_to_jsonschema():
    tier = {"properties": {"labels": {"type": "object", "required": ["tier"]}}, "required": ["labels"]}
    schemas = site(
        {
            "if": {"properties": {"is_public": {"const": False}}},
            "then": {},
            "else": {"$ref": "#/$defs/t"},
            "$defs": {"t": tier},
        }
    )
    assert faults(schemas=schemas, is_public=False) == {}
    assert set(faults(schemas=schemas, is_public=True)) == {"/labels"}
    assert faults(schemas=schemas, is_public=True, labels={"tier": "front"}) == {}
    assert set(faults(schemas=schemas, is_public=True, labels={"x": "y"})) == {"/labels/tier"}


def test_pattern_properties_are_translated_too():
    schemas = site(
        {"properties": {"labels": {"patternProperties": {"^x$": {"minLength": 3}}, "additionalProperties": False}}}
    )
    assert faults(schemas=schemas, labels={"x": "abc"}) == {}
    assert set(faults(schemas=schemas, labels={"x": "a", "y": "abc"})) == {"/labels/x", "/labels/y"}


BROKEN = {
    "no JSON": (b"{", "schemas/repository.schema.json is not valid JSON at line 1"),
    "a list": (b"[]", "is not a JSON object"),
    "a type of no name": ({"type": "text"}, "is not a valid schema"),
    "a limit that is a string": ({"properties": {"x": {"maxLength": "1"}}}, "/properties/x/maxLength"),
    "another draft": ({"$schema": "http://json-schema.org/draft-07/schema#"}, "Draft 2020-12"),
    "a reference to the network": ({"$ref": "https://example.com/x.json"}, "in the same file"),
    "a reference to a file": ({"properties": {"x": {"$ref": "file:///etc/passwd"}}}, "/properties/x/.ref"),
    "a reference to a neighbour": ({"items": {"$ref": "namespace.schema.json"}}, "in the same file"),
    "a reference to nothing": ({"$ref": "#/$defs/x"}, "does not lead to a schema"),
    "a reference to what is no schema": ({"enum": [{}], "$ref": "#/enum/0"}, "does not lead to a schema"),
    "a dynamic reference to nothing": ({"allOf": [{"$dynamicRef": "#x"}]}, "does not lead to a schema"),
    "an inner base": ({"$defs": {"x": {"$id": "https://example.com/"}}}, r'may have an "\$id"'),
    "itself": ({"$ref": "#"}, "refers to itself without end"),
    "a bad pattern": ({"properties": {"x": {"pattern": "("}}}, "a pattern cannot be used"),
    "a pattern that backtracks": ({"properties": {"x": {"pattern": "^(a+)+$"}}}, "repeats is a repetition itself"),
    "a key's pattern that backtracks": ({"patternProperties": {"^(?:[a-z]*_?)*$": {}}}, "a pattern cannot be used"),
    "a pattern of another dialect": ({"patternProperties": {"\\p{L}": {}}}, "a pattern cannot be used"),
    "an empty class": ({"pattern": "[^]"}, "is not supported"),
    "too much": (b'{"description": "' + b"x" * 1_000_000 + b'"}', "larger than 1,000,000 bytes"),
}


@pytest.mark.parametrize(("schema", "words"), BROKEN.values(), ids=BROKEN)
def test_a_schema_that_cannot_be_used_is_told_when_it_is_loaded_and_nothing_is_fetched(schema, words, monkeypatch):
    def no_network(*_args, **_kwargs):
        pytest.fail("a schema reached for the network")

    monkeypatch.setattr(socket, "socket", no_network)
    with pytest.raises(BrokenSchema, match=words):
        site(schema)


def test_references_within_the_file_are_followed():
    own = {
        "$id": "https://example.com/own.json",
        "$defs": {"short": {"$anchor": "s", "maxLength": 3}, "a/b": {"minLength": 2}},
        "properties": {
            "description": {"allOf": [{"$ref": "#/$defs/short"}, {"$ref": "#/$defs/a~1b"}]},
            "full_description": {"$ref": "https://example.com/own.json#s"},
        },
    }
    assert set(faults(schemas=site(own), description="abcd", full_description="abcd")) == {
        "/description",
        "/full_description",
    }
    assert set(faults(schemas=site(own), description="a")) == {"/description"}


def test_a_schema_that_refers_to_itself_on_some_documents_only_is_told_then():
    schemas = site({"properties": {"description": {"$ref": "#/properties/description"}}})
    with pytest.raises(BrokenSchema, match="without end"):
        schemas.check("repository", {**MINIMAL, "description": "x"})


def test_the_words_of_the_schema_can_be_asked_for():
    assert describe("repository", "/tags/3/image_id").startswith("64 lower-case")
    assert describe("repository", "/labels/x").startswith("One line")
    assert describe("repository", "/x") is None
