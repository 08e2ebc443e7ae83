"""What is counted and not in the documents yet.

A row has what the counters of a repository have changed by. One row of each repository has no batch, and is added to.
From time to time the rows are folded into the documents, in git, in batches: `assign_batch` says which rows a batch
has, `pending_activity` what they add up to, and once the commit is made `forget_batches` drops them. After a crash in
between, whoever reads in git that a batch was committed can tell the rows that are in the documents from those that are
not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import BigInteger, Connection, bindparam, cast, delete, func, select, text, tuple_, update

from catalogd.state.database import Database
from catalogd.state.shapes import PendingRow
from catalogd.state.tables import activity

Repository = tuple[str, str]

_COUNTED = ("namespace", "repo_name", "stars", "pulls", "pulled_at")
_REPOSITORY = (activity.c.namespace, activity.c.repo_name)
# By itself it is the same in SQLite and PostgreSQL; SQLAlchemy has it twice, for one dialect each.
_COUNT = text("""
    INSERT INTO activity (namespace, repo_name, stars, pulls, pulled_at)
    VALUES (:namespace, :repo_name, :stars, :pulls, :pulled_at)
    ON CONFLICT (namespace, repo_name) WHERE batch IS NULL DO UPDATE SET
        stars = activity.stars + excluded.stars,
        pulls = activity.pulls + excluded.pulls,
        pulled_at = CASE
            WHEN activity.pulled_at IS NULL OR excluded.pulled_at > activity.pulled_at THEN excluded.pulled_at
            ELSE activity.pulled_at
        END
""")
# Both in one query: while pulls come in, each request asks it anew.
_PENDING_AND_STAR = text("""
    SELECT batch, stars, pulls, pulled_at, 0 FROM activity WHERE namespace = :namespace AND repo_name = :repo_name
    UNION ALL
    SELECT NULL, 0, 0, NULL, 1 FROM star
    WHERE "user" = :user AND namespace = :namespace AND repo_name = :repo_name
""")
# Names in one query: databases take some ten thousand parameters.
_NAMES_AT_ONCE = 1000
_ASSIGN = (
    update(activity)
    .where(activity.c.batch.is_(None))
    .where(activity.c.namespace == bindparam("of_namespace"), activity.c.repo_name == bindparam("of_repo_name"))
    .values(batch=bindparam("to_batch"))
)
_BY_BATCH = (*_REPOSITORY, activity.c.batch)
_SUMS = (func.sum(activity.c.stars), cast(func.sum(activity.c.pulls), BigInteger), func.max(activity.c.pulled_at))
_PENDING = select(*_BY_BATCH, *_SUMS).group_by(*_BY_BATCH).order_by(func.min(activity.c.id))
_PENDING_OF = _PENDING.where(tuple_(*_REPOSITORY).in_(bindparam("names", expanding=True)))
_RELEASE = (
    delete(activity)
    .where(activity.c.batch == bindparam("of_batch"))
    .returning(*_REPOSITORY, activity.c.stars, activity.c.pulls, activity.c.pulled_at)
)


def count_pulls(connection: Connection, pulls: Mapping[Repository, tuple[int, str]]) -> None:
    """Counts pulls, {(namespace, repo_name): (how many, when the latest was)}, in the caller's transaction."""
    _count(connection, [(*name, 0, number, latest) for name, (number, latest) in pulls.items()])


def count_stars(connection: Connection, changes: Mapping[Repository, int]) -> None:
    """Counts stars that were set (+) or taken back (-), in the caller's transaction."""
    _count(connection, [(*name, change, 0, None) for name, change in changes.items()])


def _count(connection: Connection, rows: Iterable[tuple[str, str, int, int, str | None]]) -> None:
    """Adds to the row that a repository has without a batch, and makes it where there is none.

    In one order, so that two who do this at once do not wait for each other in a circle.
    """
    ordered = [dict(zip(_COUNTED, row, strict=True)) for row in sorted(rows, key=lambda row: row[:2])]
    if ordered:
        connection.execute(_COUNT, ordered)


class ActivityVerbs:
    """Reads what was counted, and follows it on its way into the documents."""

    _database: Database

    def has_few_pending(self, few: int) -> bool:
        """Whether no more is pending than so many rows, of which no more are looked at."""
        some = select(activity.c.id).limit(few + 1).subquery()
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(some)).scalar_one() <= few

    def pending_activity(self) -> list[PendingRow]:
        """The sums of what is counted, by repository and batch, longest pending first.

        Where they cancel out there is a row too.
        """
        with self._database.reading() as connection:
            return [PendingRow(*row) for row in connection.execute(_PENDING)]

    def pending_of(self, repositories: Collection[Repository]) -> list[PendingRow]:
        """The same of some repositories, (namespace, repo_name)."""
        asked = list(repositories)
        found: list[PendingRow] = []
        with self._database.reading() as connection:
            for start in range(0, len(asked), _NAMES_AT_ONCE):
                some = {"names": asked[start : start + _NAMES_AT_ONCE]}
                found += [PendingRow(*row) for row in connection.execute(_PENDING_OF, some)]
        return found

    def pending_and_star(self, user: str | None, namespace: str, repo_name: str) -> tuple[list[PendingRow], bool]:
        """The same of one repository, and whether the user has starred it; None is nobody."""
        values = {"user": user, "namespace": namespace, "repo_name": repo_name}
        with self._database.reading() as connection:
            found = connection.execute(_PENDING_AND_STAR, values).all()
        rows = [PendingRow(namespace, repo_name, *row[:-1]) for row in found if not row[-1]]
        return rows, len(rows) < len(found)

    def assign_batch(self, batch: int, repositories: Iterable[Repository]) -> None:
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
        """What the rows of this batch have counted is in no batch again."""
        with self._database.writing() as connection:
            released = connection.execute(_RELEASE, {"of_batch": batch}).all()
            _count(connection, (tuple(row) for row in released))

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
            connection.execute(
                delete(activity).where(activity.c.batch.is_(None), activity.c.stars == 0, activity.c.pulls == 0)
            )

    def newest_batch(self) -> int:
        """The highest number of a batch that has rows; 0 if none has."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.coalesce(func.max(activity.c.batch), 0))).scalar_one())
