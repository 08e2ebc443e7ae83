"""The hooks of a served catalog: main only grows, and a commit by hand never silently undoes a write.

Installed into `.git/catalogd/hooks` (`core.hooksPath`), in plain sh, so they work without catalogd on the PATH. Where
they start Python it is with -P: git runs them in the working tree, and no file there may pass for a module.
"""

from __future__ import annotations

from pathlib import Path

_MAY_BECOME = r"""
# Whether main may go from $1 to $2; says why not.
may_become() {
    if ! git merge-base --is-ancestor "$1" "$2"; then
        echo "catalogd: main only grows, so nothing that was written is lost; use git revert to undo a commit." >&2
        return 1
    fi
}
"""

# Runs for a push, before git changes any file: what reference-transaction would refuse leaves no trace.
_UPDATE = (
    r"""#!/bin/sh
# Installed by catalogd. Keeps main growing by pushes, too.
[ "$1" = refs/heads/main ] || exit 0
git rev-parse -q --verify "$2^{commit}" >/dev/null || exit 0
git rev-parse -q --verify "$3^{commit}" >/dev/null || exit 0
"""
    + _MAY_BECOME
    + r"""
may_become "$2" "$3"
"""
)

# Runs when git is about to move a ref, with its lock held; no option of git's skips it.
#
# A commit by hand is made from the index. If the index was behind main when git read it, the commit takes back
# every path main had moved on. /proc knows when that git was started, the commit itself when it was begun, and
# `followed` tells which commit the index mirrored then. The commit is refused where a path that catalogd has written
# since would get that older content again. The same commit made anew succeeds, as the index has caught up.
#
# A git may also read the index, let it be replaced, and then write back what it has read. catalogd notices that
# (index.py), a running server within two seconds: these are taken off. Where none runs, the files tell: a commit that
# means to take something back has changed the file too, a stale index has not.
_REFERENCE_TRANSACTION = (
    r"""#!/bin/sh
# Installed by catalogd. Keeps main growing, and writes through the API from being undone by a stale index.
if [ "$1" != prepared ]; then
    while read -r given new ref; do
        [ "$ref" != refs/heads/main ] || rm -f "$(git rev-parse --git-common-dir)/catalogd/hand"
    done
    exit 0
fi
zero=0000000000000000000000000000000000000000
"""
    + _MAY_BECOME
    + r"""
tab=$(printf '\t')
common=$(git rev-parse --git-common-dir)

refuse_on_replica() {
    [ -s "$common/catalogd/primary" ] || return 0
    echo "catalogd: this is a replica of $(cat "$common/catalogd/primary"), where commits belong." >&2
    echo "catalogd: catalogd serve without the setting follow makes it a catalog of its own." >&2
    exit 1
}

# What the commit takes back to before a write of catalogd since $1: path, tab, blob of main.
taken_back() {
    [ -n "$1" ] && [ "$1" != "$old" ] && git cat-file -e "$1" 2>/dev/null || return 0
    range=$1..$old
    [ "$(git cat-file -t "$1")" = commit ] || range=$old
    {
        git -c core.quotePath=false log --first-parent --raw --no-abbrev --no-renames --format= \
            --committer='^catalogd <' "$range"
        [ ! -r "$common/catalogd/taken" ] || while read -r from to; do
            git merge-base --is-ancestor "$to" "$1" 2>/dev/null ||
                git -c core.quotePath=false diff-tree -r --no-abbrev --no-renames "$from" "$to"
        done <"$common/catalogd/taken"
        echo later
        git -c core.quotePath=false diff-tree -r --no-abbrev --no-renames "$old" "$new"
    } | awk '
        /^later$/ { later = 1; next }
        { path = $0; sub(/^[^\t]*\t/, "", path) }
        !later { before[path, $3]; next }
        (path, $4) in before { print path "\t" $3 }
    '
}

# Whether the files here are those of main, as far as no hand has edited them.
is_on_main() {
    [ "$(git rev-parse --is-inside-work-tree)" = true ] && [ "$(git symbolic-ref -q HEAD)" = refs/heads/main ]
}

# git reset has changed index and files before it asks: what it took back to $new, main's content replaces again.
give_back() {
    kept=$(git -c core.quotePath=false diff --no-ext-diff --no-renames --name-only "$new")
    for filter in AM D; do
        paths=$(git -c core.quotePath=false diff-tree -r --no-renames --name-only --diff-filter=$filter "$new" "$old" |
            grep -vxF -e "${kept:-/}")
        [ -n "$paths" ] || continue
        case $filter in
            AM) echo "$paths" | git --literal-pathspecs checkout -q "$old" --pathspec-from-file=- ;;
            D) echo "$paths" | git --literal-pathspecs rm -q -f --ignore-unmatch --pathspec-from-file=- ;;
        esac
    done
}

while read -r given new ref; do
    [ "$ref" = refs/heads/main ] || continue
    old=$(git rev-parse -q --verify refs/heads/main) || continue
    [ "$old" != "$new" ] || continue
    if [ "$new" = $zero ]; then
        # git gc packs refs: the file of main goes, its value is in packed-refs.
        [ "$given" != $zero ] && grep -qx "$given $ref" "$common/packed-refs" 2>/dev/null && continue
        echo "catalogd: main is the catalog; it cannot be deleted." >&2
        exit 1
    fi
    refuse_on_replica
    if ! may_become "$old" "$new"; then
        is_on_main && git merge-base --is-ancestor "$new" "$old" && give_back
        exit 1
    fi
    followed=$common/catalogd/followed
    [ -r "$followed" ] || continue
    began=$(git -c log.showSignature=false show -s --format=%ct "$new")
    age=$(awk -v ticks="$(getconf CLK_TCK)" '
        FNR == NR { up = $1; next }
        { sub(/.*\) /, ""); print int(up - $20 / ticks) + 1 }
    ' /proc/uptime "/proc/$PPID/stat" 2>/dev/null)
    base=$(awk -v began="$began" -v age="${age:-0}" -v now="$(date +%s)" '
        BEGIN { if (age > 0 && now - age < began) began = now - age }
        NR == 1 || $2 < began - 2 { id = $1 }
        END { print id }
    ' "$followed")
    undone=$(taken_back "$base" | cut -f1)
    if [ -z "$undone" ] && is_on_main; then
        base=$(awk '
            { id[NR] = $1; since[NR] = $2 }
            END { for (i = NR; i > 1 && since[i] > since[NR] - 60; i--); print id[i] }
        ' "$followed")
        undone=$(taken_back "$base" | while IFS="$tab" read -r path mains; do
            there=$(git hash-object -- "$path" 2>/dev/null) || there=$zero
            [ "$there" != "$mains" ] || echo "$path"
        done)
    fi
    if [ -n "$undone" ]; then
        echo "catalogd: the catalog was written to while git prepared this commit; it would undo:" >&2
        echo "$undone" | sed 's/^/    /' >&2
        echo "catalogd: nothing is lost; run the same command again in a few seconds." >&2
        echo "catalogd: if that does not help, git restore --staged with these paths brings the index up to main." >&2
        exit 1
    fi
done
exit 0
"""
)

_HEADER = "#!/bin/sh\n# Installed by catalogd."

# Runs catalogd with the interpreter that has set this up, or the one on the PATH.
_RUN = r"""python=$(git config catalogd.python)
if [ -x "$python" ]; then
    "$python" -P -m catalogd check --%s
    exit $?
elif command -v catalogd >/dev/null 2>&1; then
    catalogd check --%s
    exit $?
fi
"""

# Validates what is staged.
_CHECK_STAGED = (
    _RUN.replace("%s", "staged")
    + r"""echo "catalogd: not on the PATH, so the staged documents were not checked." >&2
"""
)

_PLAIN_PRE_COMMIT = f"{_HEADER} Checks the staged documents; `git commit --no-verify` skips it.\n{_CHECK_STAGED}"

# The same where catalogd commits, too.
_PRE_COMMIT = (
    _HEADER
    + r""" Checks the staged documents; `git commit --no-verify` skips it.
# git has read where main is. While this file is there and young, catalogd's own commits wait, or main would have
# moved on before git is done; the other hook removes it.
hand=$(git rev-parse --git-common-dir)/catalogd/hand
: >"$hand"
trap '[ $? = 0 ] || rm -f "$hand"' EXIT
"""
    + _CHECK_STAGED
)

# Validates what is pushed. What nobody can check is refused: whoever pushes cannot mend that, nor skip it.
_PRE_RECEIVE = (
    f"{_HEADER} Checks the documents of a push.\n"
    + _RUN.replace("%s", "received")
    + r"""echo "catalogd: not on the PATH, so nothing can be checked; run catalogd hooks install on the server." >&2
exit 1
"""
)

HOOKS = {"reference-transaction": _REFERENCE_TRANSACTION, "update": _UPDATE, "pre-commit": _PRE_COMMIT}
# For repositories that catalogd does not serve.
PLAIN_HOOKS = {"pre-commit": _PLAIN_PRE_COMMIT, "pre-receive": _PRE_RECEIVE}


def install(directory: Path) -> None:
    """Write the hooks into `directory`; those that are there already are brought up to date."""
    for name, script in HOOKS.items():
        write(directory / name, script)


def write(hook: Path, script: str) -> None:
    """Write one hook, in place of what is there."""
    hook.parent.mkdir(parents=True, exist_ok=True)
    if hook.exists() and hook.read_bytes() == script.encode() and hook.stat().st_mode & 0o111:
        return
    temporary = hook.with_name(f".{hook.name}")
    temporary.write_text(script)
    temporary.chmod(0o755)
    temporary.replace(hook)


def is_ours(hook: Path) -> bool:
    """Whether catalogd has written a hook."""
    return hook.is_file() and hook.read_bytes().startswith(_HEADER.encode())
