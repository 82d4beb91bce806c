#!/bin/sh
# `ridge why` on the log of a real, short life of a server: what it says must be what happened.
R=${BUILD:-build}/ridge
T=$(mktemp -d) passed=0 failed=0 pid=
trap 'kill -9 $pid 2>/dev/null; rm -rf "$T"' EXIT
command -v curl >/dev/null || { echo "NOT TESTED: curl is absent"; exit 0; }

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; sed 's/^/    /' "$T/out" "$T/err" 2>/dev/null | tail -25; }
start() { # options ...: a server on a port of its own
    : >"$T/start"
    "$R" serve --port 0 --bandwidth 10 --log-format json --explain-requests "$@" >>"$T/start" 2>"$T/log" &
    pid=$!
    for _ in $(seq 200); do
        grep -q serves "$T/start" && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.05
    done
    url=$(sed -n 's,^ridge: \([^ ]*\) serves.*,\1,p' "$T/start")
}
end() { kill -TERM $pid; wait $pid; }
ask() { # id, tokens of the answer, prompt, more fields of the call
    curl -s -m 60 -o /dev/null "$url/v1/completions" -H "X-Request-Id: $1" \
        -d "{\"prompt\": \"$3\", \"max_tokens\": $2, \"ignore_eos\": true, \"temperature\": 0$4}"
}
says() { # what it protects, a regular expression in the explanation, words of the command ...
    what=$1 text=$2; shift 2
    timeout 20 "$R" why "$@" >"$T/out" 2>"$T/err"; status=$?
    if [ $status -eq 0 ] && grep -qE -- "$text" "$T/out"; then ok; else bad "$what (status $status)"; fi
}
refuses() { # what it protects, text of the error, words of the command ...
    what=$1 text=$2; shift 2
    timeout 20 "$R" why "$@" >"$T/out" 2>"$T/err"; status=$?
    if [ $status -eq 1 ] && grep -qF -- "$text" "$T/err"; then ok; else bad "$what (status $status)"; fi
}

story="Once upon a time there was a little girl who lived in a small house near the sea with a big dog and a small cat, and"
# ---- prefixes, chunks, a grammar ----
start --step-rows 16 --prefill-rows 16
ask first 4 "$story she was happy. The dog ran to the door and the cat"
ask same 4 "$story she was happy. The dog ran to the door and the cat"
ask other 4 "$story he was sad. Then it rained for a long time and the old man"
ask new 4 "A completely different text about numbers: one, two, three, four, five, six, seven"
ask salted 4 "$story she was happy. The dog ran to the door and the cat" ', "cache_salt": "x"'
ask guided 6 "The answer is" ', "guided_regex": "[0-9]+"'
curl -s -o /dev/null "$url/health"
end
log="$T/log"
says "a new prompt finds nothing"             "prefix +0 of [0-9]+ tokens were found.*missed at token 0: nothing that is kept goes on" "$log" first
says "a prompt of many rows comes in chunks"  "prefill .* tokens in [3-9] chunks" "$log" first
says "each chunk by itself"                   "tokens 16 to 31, 16 of 16 rows, .* ms, alone" "$log" first
says "the same prompt is found"               "prefix +(32|48) of [0-9]+ tokens were found in the cache: all whole blocks" "$log" same
says "where two prompts part"                 "prefix +16 of .*missed at token (2[0-9]|3[01]): what is kept goes on with other tokens" "$log" other
says "another beginning"                      "missed at token 0: what is kept goes on with other tokens" "$log" new
says "another's past is never told of"        "missed at token 0: nothing that is kept goes on from there" "$log" salted
says "a grammar takes time"                   "grammar +[0-9.]+ ms" "$log" guided
"$R" why "$log" first >"$T/out"; grep -q '^  grammar' "$T/out" && bad "no grammar, no time in it" || ok
says "without a name the slowest"             "^[a-z]+  POST /v1/completions  status 200" "$log"
says "by its number"                          "^same " "$log" "#2"
says "a list of all"                          "^guided +200" "$log" --list
refuses "a request that is not there"         "has no request 'none'" "$log" none
grep -q '"prompt":"' "$log" && bad "never what was asked" || ok

# ---- company, places, preemption ----
start --max-num-seqs 3 --cache-tokens 400 --step-rows 64
for i in 1 2 3 4; do ask "r$i" 150 "Story number $i: $story" & pids="$pids $!"; done
wait $pids
end
says "somebody was preempted"                 "preempted +[0-9.]+ ms +[1-9][0-9]* time" "$log" "$("$R" why "$log" --list | awk 'NR > 1 && $7 > 0 {print $1; exit}')"
grep -qE "at [0-9.]+ ms by r[1-4], which needed its blocks of the cache: it had [0-9]+ tokens; back [0-9.]+ ms later, with [0-9]+ of them" "$T/out" && ok ||
    bad "by whom, for what, and what was left"
for i in 1 2 3 4; do "$R" why "$log" "r$i"; done >"$T/out" 2>"$T/err"
grep -qE "queued +[0-9.]+ ms .*(for a place among the running|for room in the cache)" "$T/out" && ok || bad "the fourth waited, and for what"
grep -qE "answer .* [2-3]\.[0-9] sequences in a step, 3 at most" "$T/out" && ok || bad "the answers' company"
grep -qE "with r[1-4] \([0-9]+ steps\)" "$T/out" && ok || bad "... by name"
says "a log from standard input"              "^r1 " - r1 <"$log"

{ cat "$T/start" "$log"; } >"$T/both"
says "a log that begins as the server did"    "^r1 " "$T/both" r1

# ---- damaged logs ----
head -c $(($(wc -c <"$log") / 2)) "$log" >"$T/short"
refuses "a line that is cut short"            "line $(wc -l <"$T/short" | awk '{print $1 + 1}'), which is cut short: its JSON" "$T/short"
{ head -1 "$log"; echo "12:00:00.000 info  req_1 GET /"; } >"$T/text"
refuses "a line that is no JSON"              "line 2: its JSON" "$T/text"
damage() { # what it protects, line 1 by sed, text of the error
    sed "1 $2" "$log" >"$T/damaged"; refuses "$1" "line 1: " "$T/damaged"; grep -qF -- "$3" "$T/err" && ok || bad "$1: the reason"
}
damage "a negative time"                      's/"queue_ms"/"x"/; s/"submitted_ms":/"submitted_ms":-/' "a time is negative"
damage "a text for a number"                  's/"total_ms":/"total_ms":"1","x":/' "each of its kind"
damage "more chunks than were counted"        's/"chunks":{"count":[0-9]*/"chunks":{"count":0/' "chunks"
damage "an unknown reason"                    's/"why":"[a-z]*"/"why":"because"/' "cannot be"
damage "a story without a number"             's/"number":[0-9]*,//' "'number'"
damage "a wait that is missing"               's/"slot":[0-9.]*,//' "waits_ms"
damage "a list instead of an object"          's/.*/[1]/' "no JSON object"
damage "neither a request nor an event"       's/.*/{"a":1}/' "neither 'id' nor 'event'"
: >"$T/empty"
refuses "a log without requests"              "has no requests" "$T/empty"
refuses "no log"                              "which log?"
refuses "a log that is not there"             "No such file" "$T/none"
sed 's/,"number":.*}]}/}/' "$log" >"$T/plain"
says "a log without stories still lists times" "has no story" "$T/plain" r1
"$R" serve --port 0 --explain-requests >"$T/out" 2>"$T/err"; [ $? -eq 1 ] && grep -qF -- "--log-format json" "$T/err" && ok || bad "stories want a log in JSON"

echo "[  PASSED  ] $passed test(s)."
[ $failed -eq 0 ]
