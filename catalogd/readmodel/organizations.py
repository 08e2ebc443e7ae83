"""Queries on the organizations of the mirrored commit, and on who has which role in them."""

from __future__ import annotations

import json

from catalogd.documents import Role
from catalogd.readmodel import schema
from catalogd.readmodel.connections import Connections
from catalogd.readmodel.paging import window
from catalogd.readmodel.shapes import OrganizationRow, Rows


class OrganizationQueries:
    """Reads organizations; each call is one read transaction."""

    _connections: Connections

    def roles(self, user: str) -> dict[str, Role]:
        """Namespace -> the user's role there, of each organization that gives one.

        The organization that has the user's own name is in it also where it gives none.
        """
        with self._connections.reader() as connection:
            rows = connection.execute(
                "SELECT namespace, 0 FROM organization WHERE namespace = ?1 UNION ALL"
                " SELECT namespace, role FROM member JOIN organization ON organization.id = member.organization"
                " WHERE user = ?1",
                (user,),
            ).fetchall()
        return {namespace: Role(role) for namespace, role in rows}

    def roles_in(self, namespace: str, user: str | None) -> dict[str, Role] | None:
        """What the organization of that name says of the user: {user: role}, {} if nothing; None if there is none."""
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT role FROM organization LEFT JOIN member ON member.organization = organization.id AND user = ?"
                " WHERE namespace = ?",
                (user, namespace),
            ).fetchone()
        if row is None:
            return None
        return {} if user is None or row[0] is None else {user: Role(row[0])}

    def organizations(self, page: int, page_size: int) -> Rows[OrganizationRow]:
        """A page of the organizations, by name."""
        limit, offset = window(page, page_size)
        with self._connections.snapshot() as connection:
            (count,) = connection.execute("SELECT count(*) FROM organization").fetchone()
            rows = connection.execute(
                "SELECT document, blob FROM organization ORDER BY namespace LIMIT ? OFFSET ?",
                (limit, offset),
            ).fetchall()
            commit = schema.mirrored(connection)
        return Rows(count, [OrganizationRow(json.loads(document), blob) for document, blob in rows], commit)

    def organization(self, namespace: str) -> tuple[OrganizationRow, str] | None:
        """(the organization of that name, the commit that was mirrored), or None."""
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT document, blob, commit_id FROM organization, meta WHERE namespace = ?",
                (namespace,),
            ).fetchone()
        return None if row is None else (OrganizationRow(json.loads(row[0]), row[1]), row[2])

    def has_past(self, namespace: str) -> bool:
        """Whether there is, or ever was, a repository in a namespace, or an organization of that name."""
        with self._connections.reader() as connection:
            row = connection.execute("SELECT 1 FROM file WHERE namespace = ? LIMIT 1", (namespace,)).fetchone()
        return row is not None

    def members(self, namespace: str) -> dict[str, Role]:
        """User -> role, of the organization of that name; empty where there is none."""
        with self._connections.reader() as connection:
            rows = connection.execute(
                "SELECT user, role FROM member WHERE organization ="
                " (SELECT id FROM organization WHERE namespace = ?) ORDER BY user",
                (namespace,),
            ).fetchall()
        return {user: Role(role) for user, role in rows}
