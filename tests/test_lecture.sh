#!/bin/sh
# docs/LECTURE.md says what ridge says. Each command of a block fenced as "console checked" is run, and what the page shows
# must be what comes out, byte for byte; "..." stands for lines left out, and others may come before and after. What depends on time is not run:
# of those commands it is seen that they and their options exist.
R=$(cd "${BUILD:-build}" && pwd)/ridge PAGE=docs/LECTURE.md
T=$(mktemp -d) passed=0 failed=0
trap 'rm -rf "$T"' EXIT
export RIDGE_MACHINE="$T/machine.json"   # and no journal: what this machine learned changes nothing

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; sed 's/^/    /' "$T/out" "$T/err" 2>/dev/null | head -40; }

# ---- NUMBER.command and NUMBER.shown of each command that is checked; LISTED has the others, a line each ----
awk -v to="$T/" '
/^```/ { open = !open; checked = open && $0 == "```console checked"; other = open && !checked && /^```console/; next }
!open { next }
/^\$ / && checked { close(shown); n++; print substr($0, 3) >(to n ".command"); shown = to n ".shown"; printf "" >shown; next }
checked { print >shown }
/^\$ / && other { print substr($0, 3) }
' "$PAGE" >"$T/listed"

# The page's lines in their order: any others before and after them, but none between two unless "..." stands there.
same() { # shown, out
    awk 'NR == FNR { want[++n] = "=" $0; next } { got[++m] = "=" $0 }
    END {
        j = skip = 1
        for (i = 1; i <= n; i++) {
            if (want[i] == "=...") { skip = 1; continue }
            while (skip && j <= m && got[j] != want[i]) j++
            if (j > m || got[j] != want[i]) {
                print "the page has:  " substr(want[i], 2)
                print "ridge says:    " (j > m ? "nothing like it after what the page has before" : substr(got[j], 2))
                exit 1
            }
            j++; skip = 0
        }
    }' "$1" "$2"
}

set -f   # the words of a command are words: no shell reads them
for command in $(cd "$T" && seq 999 | while read -r n && [ -e "$n.command" ]; do echo "$n"; done); do
    set -- $(cat "$T/$command.command")
    [ "$1" = ridge ] || { bad "only ridge is run: $*"; continue; }
    shift
    timeout 60 "$R" "$@" >"$T/all" 2>"$T/err" </dev/null || { bad "ridge $*: status $?"; continue; }
    if [ -s "$T/$command.shown" ] && same "$T/$command.shown" "$T/all" >"$T/out"; then ok; else bad "docs/LECTURE.md: $ ridge $*"; fi
done
[ $passed -ge 10 ] || bad "the page has commands to check: $passed"

while read -r line; do
    set -- $(echo "$line" | sed 's/^.*ridge /ridge /; s/[|&].*//')
    shift
    name=$1; [ "$1 $2" = "bench serve" ] && name="bench serve"
    "$R" $name --help >"$T/out" 2>"$T/err" || { bad "a command: ridge $name"; continue; }
    for word; do
        case $word in -*) grep -qE -- "(^| )$word(,| |\$)" "$T/out" || bad "an option of ridge $name: $word" ;; esac
    done
    ok
done <"$T/listed"

echo "[  PASSED  ] $passed test(s)."
[ $failed -eq 0 ]
