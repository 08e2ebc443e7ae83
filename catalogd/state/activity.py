"""What is counted and not in the documents yet.

A row has what the counters of a repository have changed by. From time to time the rows are folded into the documents,
in git, in batches: `assign_batch` says which rows a batch has, `pending_activity` what they add up to, and once the
commit is made `forget_batches` drops them. After a crash in between, whoever reads in git that a batch was committed
can tell the rows that are in the documents from those that are not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, bindparam, delete, func, insert, select, tuple_, update

from catalogd.state.database import Database
from catalogd.state.shapes import PendingRow
from catalogd.state.tables import activity

_REPOSITORY = (activity.c.namespace, activity.c.repo_name)
_COUNT = insert(activity)
# Into one row: a batch that was released has left others beside it.
_COUNT_ON = (
    update(activity)
    .where(activity.c.batch.is_(None))
    .where(
        activity.c.id
        == select(func.min(activity.c.id))
        .where(activity.c.batch.is_(None))
        .where(activity.c.namespace == bindparam("of_namespace"), activity.c.repo_name == bindparam("of_repo_name"))
        .scalar_subquery()
    )
    .values(stars=activity.c.stars + bindparam("change"))
)
# Names in one query: databases take some ten thousand parameters.
_NAMES_AT_ONCE = 1000
_ASSIGN = (
    update(activity)
    .where(activity.c.batch.is_(None))
    .where(activity.c.namespace == bindparam("of_namespace"), activity.c.repo_name == bindparam("of_repo_name"))
    .values(batch=bindparam("to_batch"))
)
_BY_BATCH = (*_REPOSITORY, activity.c.batch)
_PENDING = select(*_BY_BATCH, func.sum(activity.c.stars)).group_by(*_BY_BATCH).order_by(func.min(activity.c.id))


def count_star(connection: Connection, namespace: str, repo_name: str, change: int) -> None:
    """Counts a star that was set (+1) or taken back (-1), in the caller's transaction.

    Into a row that the repository has without a batch, so that a user who does it again and again makes no more rows.
    """
    counted = connection.execute(_COUNT_ON, {"of_namespace": namespace, "of_repo_name": repo_name, "change": change})
    if counted.rowcount == 0:
        connection.execute(_COUNT, {"namespace": namespace, "repo_name": repo_name, "stars": change})


class ActivityVerbs:
    """Reads what was counted, and follows it on its way into the documents."""

    _database: Database

    def pending_activity(self) -> list[PendingRow]:
        """The sums of what is counted, by repository and batch, longest pending first.

        Where they cancel out there is a row too.
        """
        with self._database.reading() as connection:
            return [PendingRow(*row) for row in connection.execute(_PENDING)]

    def pending_of(self, repositories: Collection[tuple[str, str]]) -> list[PendingRow]:
        """The same of some repositories, (namespace, repo_name)."""
        asked = list(repositories)
        found: list[PendingRow] = []
        with self._database.reading() as connection:
            for start in range(0, len(asked), _NAMES_AT_ONCE):
                some = tuple_(*_REPOSITORY).in_(asked[start : start + _NAMES_AT_ONCE])
                found += [PendingRow(*row) for row in connection.execute(_PENDING.where(some))]
        return found

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

    def forget_batch(self, batch: int) -> None:
        """Deletes the rows of this batch: they add up to nothing."""
        with self._database.writing() as connection:
            connection.execute(delete(activity).where(activity.c.batch == batch))

    def forget_zeros(self) -> None:
        """Deletes the rows without a batch that have cancelled out."""
        with self._database.writing() as connection:
            connection.execute(delete(activity).where(activity.c.batch.is_(None), activity.c.stars == 0))

    def newest_batch(self) -> int:
        """The highest number of a batch that has rows; 0 if none has."""
        with self._database.reading() as connection:
            return connection.execute(select(func.coalesce(func.max(activity.c.batch), 0))).scalar_one()
