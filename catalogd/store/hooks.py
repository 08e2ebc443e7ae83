"""The hooks of a served catalog: main only grows, and a commit by hand never silently undoes a write.

Installed into `.git/catalogd/hooks` (`core.hooksPath`), in plain sh, so they work without catalogd on the PATH.
"""

from __future__ import annotations

from pathlib import Path

# Runs when git is about to move a ref, with its lock held; no option of git's skips it.
#
# A commit by hand is made from the index. If the index was behind main when git read it, the commit takes back
# every path main had moved on. git wrote into the commit when it began (the committer's time, whole seconds), and
# `followed` tells which commit the index mirrored then. The commit is refused where a path that catalogd has written
# since would get that older content again. The same commit made anew succeeds, as the index has caught up.
_REFERENCE_TRANSACTION = r"""#!/bin/sh
# Installed by catalogd. Keeps main growing, and writes through the API from being undone by a stale index.
[ "$1" = prepared ] || exit 0
zero=0000000000000000000000000000000000000000
while read -r old new ref; do
    [ "$ref" = refs/heads/main ] || continue
    old=$(git rev-parse -q --verify refs/heads/main) || continue
    [ "$old" != "$new" ] || continue
    if [ "$new" = $zero ]; then
        echo "catalogd: main is the catalog; it cannot be deleted." >&2
        exit 1
    fi
    if ! git merge-base --is-ancestor "$old" "$new"; then
        echo "catalogd: main only grows, so nothing that was written is lost; use git revert to undo a commit." >&2
        exit 1
    fi
    followed=$(git rev-parse --absolute-git-dir)/catalogd/followed
    [ -r "$followed" ] || continue
    began=$(git show -s --format=%ct "$new")
    base=$(awk -v began="$began" 'NR == 1 || $2 < began { id = $1 } END { print id }' "$followed")
    [ -n "$base" ] && [ "$base" != "$old" ] && git cat-file -e "$base" 2>/dev/null || continue
    undone=$( {
        git -c core.quotePath=false log --first-parent --raw --no-abbrev --no-renames --format= \
            --committer='^catalogd <' "$base..$old"
        echo later
        git -c core.quotePath=false diff-tree -r --no-abbrev --no-renames "$old" "$new"
    } | awk '
        /^later$/ { later = 1; next }
        { path = $0; sub(/^[^\t]*\t/, "", path) }
        !later { before[path, $3]; next }
        (path, $4) in before { print path }
    ')
    if [ -n "$undone" ]; then
        echo "catalogd: the catalog was written to while git prepared this commit; it would undo:" >&2
        echo "$undone" | sed 's/^/    /' >&2
        echo "catalogd: nothing is lost; run the same command again in two seconds." >&2
        exit 1
    fi
done
exit 0
"""

# Validates what is staged, with the interpreter that made the catalog or the catalogd on the PATH.
_PRE_COMMIT = r"""#!/bin/sh
# Installed by catalogd. Checks the staged documents; `git commit --no-verify` skips it.
python=$(git config catalogd.python)
if [ -x "$python" ]; then
    exec "$python" -m catalogd check --staged
elif command -v catalogd >/dev/null 2>&1; then
    exec catalogd check --staged
fi
echo "catalogd: not on the PATH, so the staged documents were not checked." >&2
"""

HOOKS = {"reference-transaction": _REFERENCE_TRANSACTION, "pre-commit": _PRE_COMMIT}


def install(directory: Path) -> None:
    """Write the hooks into `directory`; those that are there already are brought up to date."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, script in HOOKS.items():
        hook = directory / name
        if hook.exists() and hook.read_text() == script:
            continue
        temporary = directory / f".{name}"
        temporary.write_text(script)
        temporary.chmod(0o755)
        temporary.replace(hook)
