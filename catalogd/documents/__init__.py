"""Documents: strict JSON in, canonical bytes out, schemas in between, and changes field by field."""

from catalogd.documents.canonical import comparable, complete, dumps, sorted_tags
from catalogd.documents.fields import ABSENT, Absence, FieldChange, diff, flatten, same, unflatten
from catalogd.documents.merge import Conflict, Merged, merge, merge_on_all
from catalogd.documents.organizations import Role
from catalogd.documents.positions import escape, line_of, lines, unescape
from catalogd.documents.schema import Schemas, builtin_schema, describe, openapi_schema
from catalogd.documents.stored import Stored, name_of
from catalogd.documents.strict import loads

__all__ = [
    "ABSENT",
    "Absence",
    "Conflict",
    "FieldChange",
    "Merged",
    "Role",
    "Schemas",
    "Stored",
    "builtin_schema",
    "comparable",
    "complete",
    "describe",
    "diff",
    "dumps",
    "escape",
    "flatten",
    "line_of",
    "lines",
    "loads",
    "merge",
    "merge_on_all",
    "name_of",
    "openapi_schema",
    "same",
    "sorted_tags",
    "unescape",
    "unflatten",
]
