"""`python -m tests.benchmarks [QUESTION ...]`: prints a table for each question."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import date

from tests.benchmarks import (
    authentication,
    detail,
    durable_put,
    durable_puts,
    git_serving,
    listing,
    many_commits,
    memory,
    proposals,
    registry_events,
    search,
    start,
    workers,
)

QUESTIONS = {
    "durable-put": durable_put,
    "detail": detail,
    "list": listing,
    "durable-puts": durable_puts,
    "search": search,
    "history-and-disk": many_commits,
    "start": start,
    "memory": memory,
    "authentication": authentication,
    "git-serving": git_serving,
    "proposals": proposals,
    "registry-events": registry_events,
    "workers": workers,
}


def main(asked: list[str]) -> None:
    unknown = [name for name in asked if name not in QUESTIONS]
    if unknown:
        raise SystemExit(f"no such question: {', '.join(unknown)}; there are: {', '.join(QUESTIONS)}")
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}, {git}\n")
    for name in asked or QUESTIONS:
        question = QUESTIONS[name]
        print(f"## {name}\n\n{question.__doc__}\n\n{question.run()}\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
