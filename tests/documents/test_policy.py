"""What stands in policy.json: what it means, what is wrong with it and where, and its one form."""

from __future__ import annotations

import json

import pytest

from catalogd.documents import builtin_schema, describe
from catalogd.documents.policy import NO_POLICY, Rules, covers, dumps_policy, faults_in_policy, parse_policy
from catalogd.errors import Invalid, Malformed
from catalogd.names import POLICY_KIND

EXAMPLE = {
    "approvals": 1,
    "on_green": ["/description", "/full_description"],
    "namespaces": {"library": {"protected": True, "approvals": 2, "direct": ["/tags"]}},
}


def parsed(document: object):
    return parse_policy(json.dumps(document).encode())


def pointers(document: object) -> list[str]:
    return sorted(fault.pointer for fault in faults_in_policy(document))


def test_without_a_policy_one_owner_approves_and_nothing_is_protected():
    assert NO_POLICY.of("acme") == Rules(approvals=1, protected=False, direct=(), on_green=())
    assert parsed({}).of("acme") == Rules()


def test_a_namespace_has_the_rules_of_all_but_for_its_own():
    policy = parsed(EXAMPLE)
    on_green = ("/description", "/full_description")
    assert policy.of("acme") == Rules(approvals=1, on_green=on_green)
    assert policy.of("library") == Rules(approvals=2, protected=True, direct=("/tags",), on_green=on_green)
    assert parsed({**EXAMPLE, "namespaces": {"acme": {"on_green": []}}}).of("acme") == Rules()


def test_a_namespace_may_be_open_where_all_are_protected():
    policy = parsed({"protected": True, "namespaces": {"sandbox": {"protected": False}}})
    assert [policy.of(name).protected for name in ("acme", "sandbox")] == [True, False]


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ([], [""]),
        ({"approval": 1}, ["/approval"]),
        ({"approvals": -1}, ["/approvals"]),
        ({"approvals": 21}, ["/approvals"]),
        ({"approvals": True}, ["/approvals"]),
        ({"approvals": "2"}, ["/approvals"]),
        ({"protected": 1}, ["/protected"]),
        ({"direct": "/tags"}, ["/direct"]),
        ({"direct": ["/tags", "/tags"]}, ["/direct"]),
        ({"direct": ["/tags", "tags", "/"]}, ["/direct/1", "/direct/2"]),
        ({"direct": ["/descripton"]}, ["/direct/0"]),
        ({"on_green": ["/tags", "/owners", "/namespace", "/download"]}, ["/on_green/1", "/on_green/2", "/on_green/3"]),
        ({"on_green": [f"/labels/{number}" for number in range(101)]}, ["/on_green"]),
        ({"namespaces": []}, ["/namespaces"]),
        ({"namespaces": {"Acme": {}}}, ["/namespaces/Acme"]),
        ({"namespaces": {"con": {}, "a.json": {}}}, ["/namespaces/a.json", "/namespaces/con"]),
        ({"namespaces": {"acme": None}}, ["/namespaces/acme"]),
        ({"namespaces": {"acme": {"approvals": 21}}}, ["/namespaces/acme/approvals"]),
        ({"namespaces": {"acme": {"namespaces": {}}}}, ["/namespaces/acme/namespaces"]),
    ],
)
def test_what_is_no_policy_is_told_by_pointer(document, at):
    assert pointers(document) == at
    with pytest.raises(Invalid) as raised:
        parsed(document)
    assert sorted(fault.pointer for fault in raised.value.faults) == at


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"protected": true, "protected": false}', b"\xff", b'{"approvals": NaN}']
)
def test_what_is_no_strict_json_is_malformed(data):
    with pytest.raises(Malformed):
        parse_policy(data)


def test_no_policy_is_refused_with_more_than_twenty_faults():
    assert len(faults_in_policy({f"odd{number}": 1 for number in range(50)})) == 20
    assert len(faults_in_policy({"namespaces": {f"com1.{number}": {} for number in range(50)}})) == 20


def test_approvals_are_whole_numbers_however_they_are_written():
    assert repr(parsed({"approvals": 2.0}).of("acme").approvals) == "2"


def test_the_form_has_members_in_order_and_namespaces_by_name():
    rules = {"direct": ["/tags", "/logo"], "approvals": 2}
    written = dumps_policy({"namespaces": {"b": {}, "a": rules}, "protected": True, "approvals": 0})
    assert json.loads(written) == {"approvals": 0, "protected": True, "namespaces": {"a": rules, "b": {}}}
    assert [line.split(":")[0].strip(' "{}') for line in written.decode().splitlines() if ":" in line] == [
        "approvals", "protected", "namespaces", "a", "approvals", "direct", "b",
    ]  # fmt: skip
    assert dumps_policy(json.loads(written)) == written


def test_fields_cover_themselves_and_what_is_below():
    assert covers(["/tags", "/labels/tier"], "/tags/latest")
    assert covers(["/tags", "/labels/tier"], "/labels/tier")
    assert not covers(["/tags"], "/tagsets")
    assert not covers(["/labels/tier"], "/labels/tiers")
    assert not covers(["/labels/tier"], "/labels")
    assert not covers(["/tags"], "")


def test_the_example_of_the_schema_is_a_policy_and_each_member_is_described():
    schema = json.loads(builtin_schema(POLICY_KIND))
    for example in schema["examples"]:
        assert faults_in_policy(example) == []
    for at in ("", "/namespaces/123"):
        for member in ("approvals", "protected", "direct/0", "on_green/0"):
            assert describe(POLICY_KIND, f"{at}/{member}")
