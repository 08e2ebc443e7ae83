"""What is counted and not in the documents yet.

A row is a change of a repository's counters. From time to time the rows are folded into the documents, in git, in
batches: `assign_batch` says which rows a batch has, `pending_activity` what they add up to, and once the commit is made
`forget_batches` drops them. After a crash in between, whoever reads in git that a batch was committed can tell the rows
that are in the documents from those that are not.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from catalogd.state.database import Database
from catalogd.state.shapes import PendingRow
from catalogd.state.tables import activity

_REPOSITORY = (activity.c.namespace, activity.c.repo_name)
_COUNT = insert(activity)
_ASSIGN = (
    update(activity)
    .where(activity.c.batch.is_(None))
    .where(activity.c.namespace == bindparam("of_namespace"), activity.c.repo_name == bindparam("of_repo_name"))
    .values(batch=bindparam("to_batch"))
)


def count_star(connection: Connection, namespace: str, repo_name: str, change: int) -> None:
    """Counts a star that was set (+1) or taken back (-1), in the caller's transaction."""
    connection.execute(_COUNT, {"namespace": namespace, "repo_name": repo_name, "stars": change})


class ActivityVerbs:
    """Reads what was counted, and follows it on its way into the documents."""

    _database: Database

    def pending_activity(self) -> list[PendingRow]:
        """The sums of what is counted, by repository and batch, in the order in which it was last counted.

        Where they cancel out there is a row too.
        """
        columns = (*_REPOSITORY, activity.c.batch)
        last_id = func.max(activity.c.id)
        statement = select(*columns, func.sum(activity.c.stars), last_id).group_by(*columns).order_by(last_id)
        with self._database.reading() as connection:
            return [PendingRow(*row) for row in connection.execute(statement)]

    def assign_batch(self, batch: int, repositories: Iterable[tuple[str, str]]) -> None:
        """The rows of these repositories, (namespace, repo_name), that have no batch get this one.

        What is counted meanwhile may be in it or not: ask for the sums of the batch afterwards, not before.
        """
        # In one order, so that two who do this at once do not wait for each other in a circle.
        rows = [
            {"of_namespace": namespace, "of_repo_name": repo_name, "to_batch": batch}
            for namespace, repo_name in sorted(set(repositories))
        ]
        if rows:
            with self._database.writing() as connection:
                connection.execute(_ASSIGN, rows)

    def release_batch(self, batch: int) -> None:
        """The rows of this batch have none again."""
        with self._database.writing() as connection:
            connection.execute(update(activity).where(activity.c.batch == batch).values(batch=None))

    def forget_batches(self, up_to: int) -> None:
        """Deletes the rows of all batches up to and with this one: they are in the documents."""
        with self._database.writing() as connection:
            connection.execute(delete(activity).where(activity.c.batch <= up_to))

    def newest_batch(self) -> int:
        """The highest number of a batch that has rows; 0 if none has."""
        with self._database.reading() as connection:
            return connection.execute(select(func.coalesce(func.max(activity.c.batch), 0))).scalar_one()
