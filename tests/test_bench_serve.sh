#!/bin/sh
# ridge bench serve against a server whose answers are known: that its figures are those of what happened.
R=${BUILD:-build}/ridge
T=$(mktemp -d) passed=0 failed=0 server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; sed 's/^/    /' "$T/out" "$T/err" 2>/dev/null | head -30; }
finish() { printf '[  PASSED  ] %d test(s).\n' $passed; [ $failed -eq 0 ]; exit; }
run() { timeout "${TEST_SECONDS:-60}" "$@" >"$T/out" 2>"$T/err" </dev/null; status=$?; }
gives() { # what it protects, expected text in the output, command ...
    what=$1 text=$2; shift 2; run "$@"
    if [ $status -eq 0 ] && grep -qE -- "$text" "$T/out"; then ok; else bad "$what (status $status)"; fi
}
fails() { # what it protects, expected text anywhere, command ...
    what=$1 text=$2; shift 2; run "$@"
    if [ $status -eq 1 ] && cat "$T/out" "$T/err" | grep -qE -- "$text"; then ok; else bad "$what (status $status)"; fi
}
has() { if grep -qE -- "$2" "$T/out"; then ok; else bad "$1"; fi; }
logged() { if [ "$(python3 -c "
import json, sys
calls = [json.loads(line) for line in open('$T/log')]
print($2)")" = "$3" ]; then ok; else bad "$1"; fi; }

# ---- what needs no server ----
fails "without a server's address"        "url is needed"          $R bench serve
fails "a length that is none"             "'12x' is no length"     $R bench serve --url x -p 12x
fails "a bound that is none"              "'ttfb:5' is no bound"   $R bench serve --url x --slo ttfb:5
fails "ids for a chat"                    "a chat takes text"      $R bench serve --url x --endpoint chat --prompt-form ids
fails "more than a burst"                 "at which --rate"        $R bench serve --url x --burst 4 -n 8
fails "an extra body that is none"        "not a JSON object"      $R bench serve --url x --extra-body '[1]'
gives "help teaches the two kinds of load" "Two kinds of load"     $R bench serve --help
pkg-config --exists libcurl || { echo "NOT TESTED: libcurl4-openssl-dev is absent, bench serve only says so"; finish; }
fails "a server that is not there"        "Is the server running"  $R bench serve --url http://127.0.0.1:1
command -v python3 >/dev/null || { echo "NOT TESTED: python3 is absent, nobody answers bench serve"; finish; }

python3 tests/load/fake_openai.py "$T/port" "$T/log" 2>"$T/server" &
server=$!
for i in $(seq 100); do [ -e "$T/port" ] && break; sleep 0.05; done
U=http://127.0.0.1:$(cat "$T/port")

# ---- figures ----
gives "tokens are the server's own count" '"output_tokens": 200,'  $R bench serve --url "$U" -n 20 -c 4 -p 32 -o 10 --json --warm-up 2
has "prompts have the length that was asked" '"prompt_tokens": 640,'
has "what the server had in its cache"    '"cached_tokens": 60,'
has "one gap less than tokens"            '"count": 180,'
has "where the count is from"             '"tokens_from": "usage"'
logged "ids, and as many as said"         'set(len(c["body"]["prompt"]) for c in calls)'  "{32}"
logged "the warm-up has prompts of its own" 'len(set(str(c["body"]["prompt"]) for c in calls))' 22
gives "the table has the times"           "time to first token +[0-9.]+ +[0-9.]+ +[0-9.]+" $R bench serve --url "$U/v1/" -n 5
has "and this program's own share"        "this program itself +[0-9.]+% of one core"
gives "without usage, chunks are counted" '"output_tokens": 50,'   $R bench serve --url "$U" --model no-usage -n 5 --json
has "and it is said"                      '"tokens_from": "chunks"'
gives "a stream in small parts is the same" '"output_tokens": 40,' $R bench serve --url "$U" --model split --endpoint chat -n 4 --json
has "no token is lost between parts"      '"count": 36,'
gives "goodput counts who was in time"    '"good_requests": 0,'    $R bench serve --url "$U" --model slow -n 4 -c 4 --slo itl:1 --json
gives "and all where the bound is wide"   '"good_requests": 4,'    $R bench serve --url "$U" --model slow -n 4 -c 4 --slo e2e:60000 --json
run $R bench serve --url "$U" --model slow -n 3 -c 3 --times "$T/times"
if [ "$(awk -F, 'NR > 1 { n[$1]++ } END { print n["first"], n["next"], n["end"] }' "$T/times")" = "3 27 3" ]
then ok; else bad "every event has its time"; fi

# ---- workloads ----
: > "$T/log"; kill -0 $server || bad "the server lives"
gives "arrivals by the clock"             '"requests": 12,'        $R bench serve --url "$U" --rate 200 --burst 3 -n 12 --json
gives "a burst comes at once"             '"requests": 8,'         $R bench serve --url "$U" --model slow --burst 8 --json
gives "a fixed time"                      '"failed": 0,'           $R bench serve --url "$U" --duration 0.3 -c 2 --json
gives "a chat grows"                      '"requests": 3,'         $R bench serve --url "$U" --model grows --endpoint chat --multi-turn 3 -n 3 --json
logged "each turn holds those before"     '[[m["role"][0] for m in c["body"]["messages"]] for c in calls if c["body"]["model"] == "grows"]' \
    "[['u'], ['u', 'a', 'u'], ['u', 'a', 'u', 'a', 'u']]"
logged "with what the server said"        '[c for c in calls if c["body"]["model"] == "grows"][1]["body"]["messages"][1]["content"][:10]' " tok0 tok1"
run $R bench serve --url "$U" --model shared -n 3 -p 8..20 --shared-prefix 50 --json
logged "prompts begin alike, and differ"  '[len(set(str(c["body"]["prompt"][a:b]) for c in calls if c["body"]["model"] == "shared")) for a, b in ((0, 50), (50, 99))]' "[1, 3]"
printf '{"prompt": "One.", "max_tokens": 7}\n{"prompt": [5, 6]}\n' > "$T/prompts.jsonl"
run $R bench serve --url "$U" --model file -n 3 -o 9 --prompts "$T/prompts.jsonl" --json
logged "prompts of a file, in turn"       '[(c["body"]["prompt"], c["body"]["max_tokens"]) for c in calls if c["body"]["model"] == "file"]' \
    "[('One.', 7), ([5, 6], 9), ('One.', 7)]"
run $R bench serve --url "$U" --model own -n 1 --api-key secret --temperature 0.5 --ignore-eos --extra-body '{"top_k": 7}'
logged "fields of one's own"              '[[c["key"], c["body"]["temperature"], c["body"]["ignore_eos"], c["body"]["top_k"]] for c in calls if c["body"]["model"] == "own"]' \
    "[['Bearer secret', 0.5, True, 7]]"

# ---- what goes wrong is told by kind ----
fails "a server that is too busy"         "HTTP 429 +3 +the first: the queue is full" $R bench serve --url "$U" --model busy -n 3
fails "an error in a stream"              "error in the stream +2 +the first: the engine is out of luck" $R bench serve --url "$U" --model error -n 2
fails "a stream that just ends"           "stream cut short +2"    $R bench serve --url "$U" --model cut -n 2
fails "a stream of something else"        "error in the stream +2 +the first: a chunk" $R bench serve --url "$U" --model garbage -n 2
fails "a server that is too slow"         "timeout +1 "            $R bench serve --url "$U" --model slow -n 1 --timeout 0.1
finish
