"""What a registry has told: which events were taken, pulls as they are counted, and the changes that wait for a commit.

All that one request brings is taken in one transaction, so an event is taken wholly and once, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import Connection, Delete, Update, bindparam, delete, func, insert, select, text, tuple_, update

from catalogd.state.activity import count_pulls
from catalogd.state.database import Database
from catalogd.state.shapes import ChangeRow, PullRow
from catalogd.state.tables import deleted_tag, index_pull, registry_change, registry_event

# So many events are remembered; a registry sends an event again only until it is told that it was taken.
MOST_EVENTS = 1_000_000
_FORGOTTEN_AT_ONCE = 10_000
# Names in one query: databases take some ten thousand parameters.
_AT_ONCE = 500

_KNOWN_EVENTS = select(registry_event.c.digest).where(registry_event.c.digest.in_(bindparam("digests", expanding=True)))
_PULLED = select(index_pull.c.index_at, index_pull.c.child_at).where(
    index_pull.c.namespace == bindparam("namespace"),
    index_pull.c.repo_name == bindparam("repo_name"),
    index_pull.c.client == bindparam("client"),
)
# By itself it is the same in SQLite and PostgreSQL; SQLAlchemy has it twice, for one dialect each.
_NOTE_PULL = {
    column: text(f"""
        INSERT INTO index_pull (namespace, repo_name, client, {column})
        VALUES (:namespace, :repo_name, :client, :at)
        ON CONFLICT (namespace, repo_name, client) DO UPDATE SET {column} = excluded.{column}
    """)
    for column in ("index_at", "child_at")
}
_NOTE_DELETED = text("""
    INSERT INTO deleted_tag (namespace, repo_name, tag, at) VALUES (:namespace, :repo_name, :tag, :at)
    ON CONFLICT (namespace, repo_name, tag) DO UPDATE SET at = excluded.at WHERE excluded.at > deleted_tag.at
""")
_QUEUED = [registry_change.c[name] for name in ChangeRow.__dataclass_fields__]
_DELIVER = (
    update(registry_change).where(registry_change.c.id == bindparam("of_id")).values(delivery=bindparam("to_delivery"))
)

TAKEN, AGAIN, PART_OF_INDEX, UNKNOWN = "taken", "again", "part_of_index", "unknown"


class RegistryVerbs:
    """Takes events, and follows the changes among them on their way into the documents."""

    _database: Database

    def take_events(
        self, events: Sequence[tuple[bytes, PullRow | ChangeRow]], unknown: Collection[tuple[str, str]]
    ) -> list[str]:
        """Take each event, (16 bytes of its identity, what it tells), that was not taken before.

        A pull of one of the repositories that are `unknown` counts only if a push of it waits. For each event: taken,
        again, part_of_index (counted with the index that the same client has pulled), or unknown.
        """
        with self._database.writing() as connection:
            # Two who take the same event at once must not both find it new.
            self._database.lock(connection, registry_event)
            seen = _known(connection, {digest for digest, _ in events})
            outcomes: list[str] = []
            fresh: list[bytes] = []
            pulls: dict[tuple[str, str], tuple[int, str]] = {}
            changes: list[ChangeRow] = []
            coming = _coming(connection, unknown) if unknown else set()
            for digest, told in events:
                if digest in seen:
                    outcomes.append(AGAIN)
                    continue
                seen.add(digest)
                name, outcome = told.name, TAKEN
                if isinstance(told, ChangeRow):
                    changes.append(told)
                    coming.add(name)
                elif name in unknown and name not in coming:
                    # Not remembered: once there is such a repository, the event may come again and count.
                    outcomes.append(UNKNOWN)
                    continue
                elif _is_counted(connection, told):
                    number, latest = pulls.get(name, (0, ""))
                    pulls[name] = (number + 1, max(latest, told.at))
                else:
                    outcome = PART_OF_INDEX
                fresh.append(digest)
                outcomes.append(outcome)
            if fresh:
                connection.execute(insert(registry_event), [{"digest": digest} for digest in fresh])
            if pulls:
                count_pulls(connection, pulls)
            if changes:
                connection.execute(insert(registry_change), [_queued(change) for change in changes])
        return outcomes

    def waiting_changes(self, most: int, after: int = 0) -> list[ChangeRow]:
        """The changes that wait and are in no delivery, in the order in which they came; those `after` an id."""
        waits = registry_change.c.delivery.is_(None), registry_change.c.id > after
        wanted = select(*_QUEUED).where(*waits).order_by(registry_change.c.id).limit(most)
        with self._database.reading() as connection:
            return [ChangeRow(*row) for row in connection.execute(wanted)]

    def count_changes(self) -> int:
        """How many changes wait or are being delivered."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(registry_change)).scalar_one()

    def assign_deliveries(self, deliveries: Mapping[str, Iterable[int]]) -> None:
        """The changes with these ids are about to be committed, by the delivery's name; one that has gone is left."""
        rows = [{"of_id": id_, "to_delivery": name} for name, ids in deliveries.items() for id_ in ids]
        if rows:
            with self._database.writing() as connection:
                connection.execute(_DELIVER, rows)

    def deliveries(self) -> list[str]:
        """The deliveries that nobody has finished or released."""
        wanted = select(registry_change.c.delivery).where(registry_change.c.delivery.is_not(None)).distinct()
        with self._database.reading() as connection:
            return list(connection.execute(wanted).scalars())

    def release_deliveries(self, names: Iterable[str]) -> None:
        """Their changes wait again."""
        self._on_deliveries(update(registry_change).values(delivery=None), names)

    def finish_deliveries(self, names: Iterable[str]) -> None:
        """Their changes are in the documents, or never will be: they are forgotten, but that a tag was deleted."""
        finished = list(names)
        deleted = select(
            registry_change.c.namespace, registry_change.c.repo_name, registry_change.c.tag, registry_change.c.at
        ).where(registry_change.c.kind == "delete", registry_change.c.delivery.in_(bindparam("names", expanding=True)))
        with self._database.writing() as connection:
            for start in range(0, len(finished), _AT_ONCE):
                some = finished[start : start + _AT_ONCE]
                rows = [row._asdict() for row in connection.execute(deleted, {"names": some})]
                if rows:
                    connection.execute(_NOTE_DELETED, rows)
                connection.execute(delete(registry_change).where(registry_change.c.delivery.in_(some)))

    def deleted_tags(self, repositories: Collection[tuple[str, str]]) -> dict[tuple[str, str, str], str]:
        """(namespace, repo_name, tag) -> when it was last deleted, as far as that is remembered."""
        asked, found = sorted(set(repositories)), {}
        columns = deleted_tag.c
        with self._database.reading() as connection:
            for start in range(0, len(asked), _AT_ONCE):
                some = tuple_(columns.namespace, columns.repo_name).in_(asked[start : start + _AT_ONCE])
                rows = connection.execute(
                    select(columns.namespace, columns.repo_name, columns.tag, columns.at).where(some)
                )
                found.update({(row[0], row[1], row[2]): row[3] for row in rows})
        return found

    def forget_told(self, deleted_before: str, pulled_before: str) -> None:
        """Forget when tags were deleted and indexes pulled before a time: it matters to no event still to come."""
        with self._database.writing() as connection:
            pulled = func.coalesce(index_pull.c.index_at, ""), func.coalesce(index_pull.c.child_at, "")
            connection.execute(delete(index_pull).where(*(at < pulled_before for at in pulled)))
            connection.execute(delete(deleted_tag).where(deleted_tag.c.at < deleted_before))

    def forget_events(self, kept: int = MOST_EVENTS) -> None:
        """Forget the oldest events, but so many; in transactions that keep nobody waiting."""
        bounds = select(func.min(registry_event.c.number), func.max(registry_event.c.number))
        with self._database.reading() as connection:
            oldest, newest = connection.execute(bounds).one()
        last = (newest or 0) - kept
        while oldest is not None and oldest <= last:
            oldest += _FORGOTTEN_AT_ONCE
            with self._database.writing() as connection:
                connection.execute(delete(registry_event).where(registry_event.c.number <= min(oldest - 1, last)))

    def _on_deliveries(self, statement: Update | Delete, names: Iterable[str]) -> None:
        listed = list(names)
        with self._database.writing() as connection:
            for start in range(0, len(listed), _AT_ONCE):
                some = listed[start : start + _AT_ONCE]
                connection.execute(statement.where(registry_change.c.delivery.in_(some)))


def _known(connection: Connection, digests: set[bytes]) -> set[bytes]:
    listed = list(digests)
    found: set[bytes] = set()
    for start in range(0, len(listed), _AT_ONCE):
        rows = connection.execute(_KNOWN_EVENTS, {"digests": listed[start : start + _AT_ONCE]})
        found.update(bytes(digest) for digest in rows.scalars())
    return found


def _coming(connection: Connection, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the names of which a push waits."""
    columns, listed = registry_change.c, sorted(names)
    found: set[tuple[str, str]] = set()
    for start in range(0, len(listed), _AT_ONCE):
        some = tuple_(columns.namespace, columns.repo_name).in_(listed[start : start + _AT_ONCE])
        wanted = select(columns.namespace, columns.repo_name).where(columns.kind == "push", some).distinct()
        found.update((row[0], row[1]) for row in connection.execute(wanted))
    return found


def _is_counted(connection: Connection, pull: PullRow) -> bool:
    """Whether a pull is one by itself: an index and the images that its client takes from it are one.

    The order in which they are told does not matter. Notes what later pulls have to know.
    """
    if not (pull.is_index or pull.by_digest):
        return True
    who = {"namespace": pull.namespace, "repo_name": pull.repo_name, "client": pull.client}
    row = connection.execute(_PULLED, who).first()
    index_at, child_at = row if row is not None else (None, None)
    if pull.is_index:
        counted = not (child_at is not None and pull.at <= child_at <= pull.until)
        connection.execute(_NOTE_PULL["index_at"], {**who, "at": max(pull.at, index_at or "")})
        return counted
    if index_at is not None and pull.since <= index_at <= pull.at:
        return False
    connection.execute(_NOTE_PULL["child_at"], {**who, "at": max(pull.at, child_at or "")})
    return True


def _queued(change: ChangeRow) -> dict[str, object]:
    return {column.name: getattr(change, column.name) for column in _QUEUED if column.name != "id"}
