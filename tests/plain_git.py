"""A clone of a catalog in which somebody works with plain git."""

from __future__ import annotations

from pathlib import Path

from catalogd.documents import dumps, loads


class Clone:
    def __init__(self, directory: Path, git):
        self.directory = directory
        self._git = git

    def git(self, *arguments: str, **environment: str) -> str:
        return self._git(self.directory, *arguments, env=environment)

    def edit(self, path: str, message: str, committed: str = "", **fields: object) -> str:
        """Commit a document with other fields, at the time `committed`, or now."""
        document = loads((self.directory / path).read_bytes()) | fields
        return self.write(path, dumps(document).decode(), message, committed)

    def write(self, path: str, text: str, message: str, committed: str = "") -> str:
        (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / path).write_text(text)
        self.git("add", path)
        self.git("commit", "-m", message, **({"GIT_COMMITTER_DATE": committed} if committed else {}))
        return self.git("rev-parse", "HEAD").strip()

    def merge(self, commit: str, **files: str) -> str:
        """Merge another line of history, with the given content of data/acme/<name>.json."""
        self.git("merge", "-q", "--no-ff", "--no-commit", "-s", "ours", commit)
        for name, text in files.items():
            (self.directory / f"data/acme/{name}.json").write_text(text)
        self.git("add", ".")
        self.git("commit", "-m", "Merge")
        return self.git("rev-parse", "HEAD").strip()

    def remove(self, path: str, message: str) -> str:
        self.git("rm", "-q", path)
        self.git("commit", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def hand_over(self) -> str:
        """Give the catalog all objects, as a fetch does; returns the newest commit."""
        self.git("push", "-q", "origin", "+HEAD:refs/catalogd/pushed")
        return self.git("rev-parse", "HEAD").strip()
