# shellcheck shell=bash
# What every script shares: where things are, how a step is shown and how a failure is told.
# Sourced, never run.

checkout=$(CDPATH=; cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
build_dir="$checkout/build"
logs="$build_dir/log"

# Exported, so that cargo and these scripts agree wherever a cargo configuration points.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-$checkout/target}")
export CARGO_TARGET_DIR

# The same files come out under every umask and in every language.
umask 022
export LC_ALL=C.UTF-8

# search_last DIR and search_first DIR: put DIR on the PATH unless it is there. Scripts call
# each other, and build scripts of crates run anew when the PATH is another one.
search_last() {
    case ":$PATH:" in *":$1:"*) ;; *) PATH="$PATH:$1" ;; esac
}
search_first() {
    case ":$PATH:" in *":$1:"*) ;; *) PATH="$1:$PATH" ;; esac
}

# mkdosfs, depmod and their like, which an ordinary user's PATH does not reach.
search_last /usr/sbin
search_last /sbin

# fail MESSAGE: ends the script with one line that says what is wrong and what to do.
fail() {
    printf 'pinhole: %s\n' "$1" >&2
    exit 1
}

# step LOG WHAT ADVICE COMMAND…: runs COMMAND in a subshell, its output in build/log/LOG.log,
# and shows one line with the seconds it took. When it fails, shows the end of the log and
# ADVICE, and ends the script.
step() {
    local log="$logs/$1.log" what=$2 advice=$3 started=$SECONDS status
    shift 3
    mkdir -p "$logs"
    printf '%s ... ' "$what"
    # Not in a condition: there bash would ignore `set -e` inside COMMAND.
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1 </dev/null
    status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        printf '%d s\n' $((SECONDS - started))
        return
    fi
    printf 'failed\n'
    tail -n 20 "$log" >&2
    fail "$what failed. ${advice:+$advice }The whole output is in $log"
}

# make_once DIR COMMAND…: unless DIR is there, lets COMMAND fill a directory (its last
# argument) that becomes DIR only when it is whole. One script at a time makes it.
make_once() {
    local dir=$1
    shift
    mkdir -p "$(dirname "$dir")"
    (
        flock 9
        [ ! -d "$dir" ] || exit 0
        rm -rf "$dir.partial"
        mkdir "$dir.partial"
        "$@" "$dir.partial" 9>&-
        mv -T "$dir.partial" "$dir"
    ) 9>"$dir.lock"
}

# key WORD…: a short name for a set of inputs.
key() {
    printf '%s\n' "$@" | sha256sum | cut -c 1-12
}
