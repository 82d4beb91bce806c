#!/bin/sh
# `ridge batch` as a person runs it: answers to a file of requests, stopped and killed in the middle, and gone on with.
R=${BUILD:-build}/ridge
T=$(mktemp -d) passed=0 failed=0 pid=
trap 'kill -9 $pid 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; tail -5 "$T/out" "$T/err" | sed 's/^/    /'; }
lines() { # how many requests, how long their answers may be
    i=0
    while [ $i -lt "$1" ]; do
        echo "{\"custom_id\": \"q$i\", \"method\": \"POST\", \"url\": \"/v1/completions\", \"body\":" \
             "{\"model\": \"any\", \"prompt\": \"Story $i\", \"max_tokens\": $2, \"temperature\": 0, \"ignore_eos\": true}}"
        i=$((i + 1))
    done
}
ends() { # what it protects, status, text of its output, arguments ...
    what=$1 status=$2 text=$3; shift 3
    "$R" batch "$@" >"$T/out" 2>"$T/err"
    got=$?
    if [ $got -eq "$status" ] && cat "$T/out" "$T/err" | grep -qF -- "$text"; then ok; else bad "$what (status $got)"; fi
}
ids() { sed -n 's/.*"custom_id":"\([^"]*\)".*/\1/p' "$1" | sort; }
once() { # what it protects: the file has each of q0 .. q$(($2-1)) once
    i=0; while [ $i -lt "$2" ]; do echo "q$i"; i=$((i + 1)); done | sort >"$T/wanted"
    ids "$3" >"$T/found"
    if cmp -s "$T/wanted" "$T/found"; then ok; else bad "$1"; fi
}
breaks() { # what it protects, signal, status: sent once a fifth of the lines has an answer
    rm -f "$T/long.out"
    "$R" batch -j 4 "$T/long" "$T/long.out" >"$T/out" 2>"$T/err" &
    pid=$!
    for _ in $(seq 1000); do
        [ "$(cat "$T/long.out" 2>/dev/null | wc -l)" -ge 8 ] && break
        sleep 0.01
    done
    kill "-$2" $pid; wait $pid 2>/dev/null; got=$?
    kept=$(wc -l <"$T/long.out")
    if [ $got -eq "$3" ] && [ "$kept" -ge 8 ] && [ "$kept" -lt 40 ]; then ok; else bad "$1 (status $got, $kept lines)"; fi
    cp "$T/long.out" "$T/kept"
}

# ---- a whole run ----
lines 6 4 >"$T/in"
ends "each line is answered"              0 '6 of 6 lines answered, 0 failed' "$T/in" "$T/all"
once "each line once" 6 "$T/all"
grep -c '"status_code":200,.*"error":null}$' "$T/all" | grep -qx 6 && ok || bad "answers have OpenAI's form"
cp "$T/all" "$T/before"
ends "a second run has nothing to do"     0 '6 of them earlier' "$T/in" "$T/all"
cmp -s "$T/all" "$T/before" && ok || bad "and leaves the file as it is"
ends "--restart begins anew"              0 '6 of 6 lines answered, 0 failed' "$T/in" "$T/all" --restart
cmp -s "$T/all" "$T/before" && bad "--restart writes anew" || ok

# ---- lines that are no requests ----
{ lines 1 4; echo 'no json'; lines 1 4; echo; echo '{"custom_id": "m", "method": "GET", "url": "/v1/completions", "body": {}}'; } >"$T/in"
ends "bad lines are told"                 3 '1 of 4 lines answered, 3 failed' "$T/in" "$T/bad"
grep -q '"custom_id":null,.*invalid_json_line.*"line":2' "$T/bad" && ok || bad "the line is named"
grep -q '"custom_id":"q0","response":null,.*duplicate_custom_id.*"line":3' "$T/bad" && ok || bad "a second line of one name"
ends "they are not told twice"            3 '4 of them earlier' "$T/in" "$T/bad"

# ---- broken off ----
lines 40 24 >"$T/long"
breaks "Ctrl-C ends it cleanly" INT 130
ends "and it goes on"                     0 '40 of 40 lines answered' "$T/long" "$T/long.out"
once "each line once after Ctrl-C" 40 "$T/long.out"
breaks "a crash" KILL 137
printf '{"id":"batch_req_torn","custom_id":"q9","resp' >>"$T/long.out"
ends "it goes on after a crash"           0 "40 of 40 lines answered, 0 failed; $kept of them earlier" "$T/long" "$T/long.out"
once "each line once after a crash" 40 "$T/long.out"
head -n "$kept" "$T/long.out" | cmp -s - "$T/kept" && ok || bad "what was answered stays as it was"

# ---- what it does not touch ----
echo 'my notes' >"$T/notes"
ends "a file that is none of its own"     1 'line 1 is no answer of a batch' "$T/in" "$T/notes"
printf 'my notes without an end' >"$T/notes"
ends "nor one without a line's end"       1 'line 1 is no answer of a batch' "$T/in" "$T/notes"
grep -q 'my notes without an end' "$T/notes" && ok || bad "the file stays"
ends "the same file twice"                1 'are the same file' "$T/in" "$T/in"
ends "a file that is not there"           1 'No such file' "$T/none" "$T/x"
ends "one file only"                      1 'give two files' "$T/in"

echo "[  PASSED  ] $passed tests, $failed failed"
[ $failed -eq 0 ]
