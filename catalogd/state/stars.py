"""Stars as they are kept. Setting one or taking it back counts, in the same transaction."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import BigInteger, bindparam, cast, delete, func, insert, literal, or_, select
from sqlalchemy.exc import IntegrityError

from catalogd.state.activity import count_pulls, count_stars
from catalogd.state.database import Database
from catalogd.state.shapes import StarRow
from catalogd.state.tables import activity, stars

# Built once, as requests ask it: SQLAlchemy then finds its compiled form by identity.
_IS_STARRED = select(literal(1)).where(
    stars.c.user == bindparam("user"),
    stars.c.namespace == bindparam("namespace"),
    stars.c.repo_name == bindparam("repo_name"),
)

_LATE_PULLS = (
    select(cast(func.sum(activity.c.pulls), BigInteger), func.max(activity.c.pulled_at))
    .where(activity.c.namespace == bindparam("namespace"), activity.c.repo_name == bindparam("repo_name"))
    .where(or_(activity.c.batch.is_(None), activity.c.batch > bindparam("counted")))
    .having(func.max(activity.c.pulled_at) >= bindparam("since"))
)


class StarVerbs:
    """Reads and writes stars. Whether there is such a repository is not known here."""

    _database: Database

    def star(self, user: str, namespace: str, repo_name: str, starred_at: str) -> bool:
        """False if the user has starred it already, or if there is no such user."""
        row = {"user": user, "namespace": namespace, "repo_name": repo_name, "starred_at": starred_at}
        with suppress(IntegrityError), self._database.writing() as connection:
            connection.execute(insert(stars), row)
            count_stars(connection, {(namespace, repo_name): +1})
            return True
        return False

    def unstar(self, user: str, namespace: str, repo_name: str) -> bool:
        """False if the user has not starred it."""
        this = (stars.c.user == user, stars.c.namespace == namespace, stars.c.repo_name == repo_name)
        with self._database.writing() as connection:
            if connection.execute(delete(stars).where(*this)).rowcount == 0:
                return False
            count_stars(connection, {(namespace, repo_name): -1})
        return True

    def begin_anew(self, namespace: str, repo_name: str, since: str | None = None, counted: int = 0) -> None:
        """Its document counts nothing yet: what is pending are the stars that there are, and nothing else.

        A name keeps its stars if what it names is deleted and made anew, as it keeps its history. With `since` pulls
        stay too, if the latest of them was not before; not those of batches up to `counted`.
        """
        this = (stars.c.namespace == namespace, stars.c.repo_name == repo_name)
        pending = (activity.c.namespace == namespace, activity.c.repo_name == repo_name)
        with self._database.reading() as connection:
            known = (select(literal(1)).where(*this), select(literal(1)).where(*pending))
            if not any(connection.execute(statement.limit(1)).first() for statement in known):
                return
        with self._database.writing() as connection:
            # Whoever stars now has either been counted here, or counts after this.
            self._database.lock(connection, activity)
            late = {"namespace": namespace, "repo_name": repo_name, "since": since, "counted": counted}
            kept = connection.execute(_LATE_PULLS, late).first() if since else None
            connection.execute(delete(activity).where(*pending))
            if kept:
                count_pulls(connection, {(namespace, repo_name): (kept[0], kept[1])})
            count = connection.execute(select(func.count()).select_from(stars).where(*this)).scalar_one()
            if count:
                count_stars(connection, {(namespace, repo_name): count})

    def count_stars(self, user: str) -> int:
        """How many repositories a user has starred."""
        statement = select(func.count()).select_from(stars).where(stars.c.user == user)
        with self._database.reading() as connection:
            return connection.execute(statement).scalar_one()

    def starred(self, user: str) -> list[StarRow]:
        """What a user has starred, newest first."""
        statement = (
            select(stars.c.namespace, stars.c.repo_name, stars.c.starred_at)
            .where(stars.c.user == user)
            .order_by(stars.c.starred_at.desc(), stars.c.namespace, stars.c.repo_name)
        )
        with self._database.reading() as connection:
            return [StarRow(*row) for row in connection.execute(statement)]

    def is_starred(self, user: str, namespace: str, repo_name: str) -> bool:
        """Whether a user has starred a repository: one look into an index."""
        values = {"user": user, "namespace": namespace, "repo_name": repo_name}
        with self._database.reading() as connection:
            return connection.execute(_IS_STARRED, values).first() is not None
