#!/bin/sh
# run.sh - runs the layers of tests that are named, says what it could not run, and counts
#
#   tests/run.sh [lint] [cargo] [lab] [demo]
#
# Ends with "N passed, N failed": each Rust test, each expectation of a lab script, each check of lint counts as one.
# What this machine cannot run is listed; with CI=true that is a failure.

set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log" "$log".*' EXIT

passed=0
failed=0
skipped=
notes=

heading() { printf '\n== %s\n' "$*"; }
could_not() { skipped="$skipped  $*
"; }

# one WHAT COMMAND...: counts as one.
one() {
    what=$1
    shift
    heading "$what"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
    fi
}

# many WHAT COMMAND...: counts what its output counts; failing without having counted a failure is one.
many() {
    what=$1
    shift
    heading "$what"
    { "$@" 2>&1 && echo 0 >"$log.status" || echo 1 >"$log.status"; } | tee "$log"
    counts=$(awk '
        /^test result:/ { passed += $4; failed += $6 }
        /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
        END { print passed + 0, failed + 0 }' "$log")
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
    if [ "$(cat "$log.status")" != 0 ] && [ "${counts#* }" = 0 ]; then
        failed=$((failed + 1))
        echo "FAILED: $what"
    fi
}

# Shell scripts wherever they are: by name, or by their first line.
shell_scripts() {
    git ls-files -z | xargs -0 awk 'FNR == 1 && /^#!\/bin\/sh|^# shellcheck shell=sh/ { print FILENAME }'
}

lint() {
    one "format" cargo fmt --check
    one "clippy" cargo clippy --locked --all-targets -- -D warnings
    if command -v shellcheck >/dev/null; then
        # shellcheck disable=SC2046
        one "shell scripts" shellcheck -x $(shell_scripts)
    else
        could_not "shell scripts: no shellcheck"
    fi
    if cargo deny --version >/dev/null 2>&1; then
        one "licences and sources" cargo deny --log-level error check licenses bans sources
        if cargo deny fetch >/dev/null 2>&1; then
            one "advisories" cargo deny --log-level error check advisories
        else
            # Says nothing about this machine or this project: noted, never a failure.
            notes="  advisories not looked at: their database is out of reach"
        fi
    else
        could_not "licences and advisories: no cargo-deny"
    fi
}

rust() {
    many "tests" cargo test --locked --no-fail-fast
}

lab() {
    if [ "$(id -u)" != 0 ]; then
        could_not "lab: not root"
        return
    fi
    one "build" cargo build --locked
    for script in tests/lab/*.sh; do
        case $script in
            */netns.sh | */stage.sh) continue ;;
        esac
        many "$script" timeout 600 "$script"
    done
}

demo() {
    many "demo" env ONCE=1 timeout 1800 demo/run.sh
    if [ "$(id -u)" = 0 ] && grep -q '^No live stage here' "$log"; then
        could_not "demo: $(grep '^No live stage here' "$log")"
    fi
}

for layer in "$@"; do
    case $layer in
        lint) lint ;;
        cargo) rust ;;
        lab) lab ;;
        demo) demo ;;
        *) echo "no layer '$layer': lint, cargo, lab, demo" >&2; exit 2 ;;
    esac
done

heading "summary"
if [ -n "$skipped" ]; then
    echo "could not run here:"
    printf '%s' "$skipped"
    [ "${CI:-}" != true ] || failed=$((failed + $(printf '%s' "$skipped" | wc -l)))
fi
[ -z "$notes" ] || echo "$notes"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
