#!/bin/sh
# What runs, measurements and servers end in; the cost without a cache; drawings in files and in pipes.
R=${BUILD:-build}/ridge
T=$(mktemp -d) passed=0 failed=0 pid=
trap 'kill -9 $pid 2>/dev/null; rm -rf "$T"' EXIT
export RIDGE_MACHINE="$T/machine.json"

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; sed 's/^/    /' "$T/out" "$T/err" 2>/dev/null | tail -25; }
run() { timeout 60 "$R" "$@" >"$T/out" 2>"$T/err" </dev/null; status=$?; }
tells() { # what it protects, a regular expression on stderr
    if grep -qE -- "$2" "$T/err"; then ok; else bad "$1"; fi
}
shows() { if grep -qE -- "$2" "$T/out"; then ok; else bad "$1"; fi; }
refuses() { # what it protects, text of the error, words of the command ...
    what=$1 text=$2; shift 2; run "$@"
    if [ $status -eq 1 ] && grep -qF -- "$text" "$T/err"; then ok; else bad "$what (status $status)"; fi
}

# ---- a machine that nobody measured ----
run run -p "Once upon a time" -n 8 --temperature 0
tells "no limit is made up"                    "^decode reads [0-9.]+ GB/s and computes .* was not measured: run .ridge probe"
tells "what it asked is told all the same"     "^decode +7 +27\.9 +[0-9.]+ +[0-9.]+ +- +[0-9.]+ +-$"
run run -p "Once upon a time" -n 8 --temperature 0 -q
[ -s "$T/err" ] && bad "quiet means quiet" || ok

# ---- one that was: so slow that memory is what limits ----
echo '{"bytes_per_second": 5e7, "fp32": 1e15, "bf16": 1e15, "int8": 1e15, "threads": 1}' >"$RIDGE_MACHINE"
run run -p "Once upon a time" -n 8 --temperature 0
tells "one sentence"                           "^decode is .*: [0-9.]+ of 0\.1 GB/s \([0-9]+%\); cache reads [0-9]+%; doubling the batch would give \+[0-9]+% throughput for \+[0-9]+% latency$"
tells "and a small table"                      "^prefill +1 +27\.9 "
run run -p "Once upon a time" -n 1 --temperature 0
tells "a run without an answer speaks of its prompt" "^prefill is .* of 0\.1 GB/s"
run run -p "Once upon a time" -n 4 --temperature 0 --json
shows "programs get it too"                    '"verdicts":\[\{"phase":"prefill",.*\{"phase":"decode","sentence":"decode is '
run bench -p 8 -n 2 -r 1 -b 1,2 --no-journal
shows "a sentence for each row"                "^tg2 x 2 is .*doubling the batch would give"
shows "and its line of the table"              "^tg2 x 2 +2 +27\.9 "
run bench -p 0 -n 2 -r 1 -o csv --no-journal
shows "CSV ends in the sentence"               ',"tg2 is [^"]*latency"$'
run bench -p 0 -n 2 -r 1 -o json --no-journal
shows "JSON has it"                            '"sentence": "tg2 is '
echo '{"bytes_per_second": -1}' >"$T/wrong.json"
RIDGE_MACHINE="$T/wrong.json" run run -p x -n 2
tells "a machine's file that is wrong is told" "wrong.json: 'bytes_per_second' must be a number"
tells "... and not believed"                   "run .ridge probe"

# ---- the server ----
if command -v curl >/dev/null; then
    "$R" serve --port 0 >"$T/start" 2>"$T/err" &
    pid=$!
    for _ in $(seq 200); do grep -q serves "$T/start" && break; sleep 0.05; done
    url=$(sed -n 's,^ridge: \([^ ]*\) serves.*,\1,p' "$T/start")
    curl -s "$url/metrics" >"$T/out"; shows "before the first request" "^# prefill: nothing was computed yet"
    curl -s -m 20 -o /dev/null "$url/v1/completions" -d '{"prompt": "Once upon a time", "max_tokens": 8, "ignore_eos": true}'
    curl -s "$url/metrics" >"$T/out"
    tail -4 "$T/out" | head -1 | grep -q "^# decode is .* latency$" && ok || bad "metrics end in the sentence"
    tail -1 "$T/out" | grep -qE "^# decode +7 " && ok || bad "... and the table"
    shows "counters of both phases"            '^ridge:phase_steps_total\{.*phase="decode"\} 7$'
    for picture in roofline batches; do
        curl -s "$url/ridge/$picture.svg" >"$T/out"; shows "the page's $picture" 'circle class="measured'
    done
    kill -TERM $pid; wait $pid
    tells "the log ends in it"                 "decode is .* doubling the batch"
else
    echo "NOT TESTED: curl is absent"
fi

# ---- without a cache ----
for options in "--temperature 0" "--temperature 1 --seed 7" "--temperature 0.8 --seed 3 --cache-type q8_0"; do
    run run -p "The old man and the sea" -n 20 $options -q; cp "$T/out" "$T/with"
    run run -p "The old man and the sea" -n 20 $options --no-cache
    cmp -s "$T/out" "$T/with" && ok || bad "the same tokens without a cache: $options"
done
tells "rows with a cache: S + T - 1"           "^with a cache, predicted +2[0-9] "
predicted=$(sed -n 's/^without, predicted *//p' "$T/err" | awk '{print $1, $2, $3, $4}')
measured=$(sed -n 's/^without, measured *//p' "$T/err" | awk '{print $1, $2, $3, $4}')
[ -n "$predicted" ] && [ "$predicted" = "$measured" ] && ok || bad "what was predicted without a cache is what was done: $predicted, $measured"
tells "how it grows"                           "O\(T\^2\) of attention with a cache, O\(T\^2\) and O\(T\^3\) without: here [0-9.]+ times the rows"
refuses "several answers"                      "--no-cache measures one answer" run -p x --samples 2 --no-cache
refuses "no diffusion"                         "--diffusion-cache none" run -m tests/fixtures/hf/llada -p x --no-cache

# ---- drawings ----
run run -p "Once upon a time" -n 4 --temperature 0 --profile --profile-svg "$T/p.svg" --profile-html "$T/p.html"
tells "the roofline in the terminal"           "^Roofline: "
tells "its table has the letters"              "^A  [a-z]+ [a-z_0-9]+, "
tells "the batches"                            "^Batches: "
grep -q "$(printf '\033')" "$T/err" && bad "no colours in a pipe" || ok
head -c 5 "$T/p.svg" | grep -q "<svg " && tail -1 "$T/p.svg" | grep -q "^</svg>" && ok || bad "an SVG file"
grep -q 'circle class="measured' "$T/p.svg" && grep -q 'circle class="predicted' "$T/p.svg" && ok || bad "with both kinds of points"
grep -q "<h1>base-26m" "$T/p.html" && grep -q "^</html>" "$T/p.html" && ok || bad "a page"
if command -v script >/dev/null; then
    script -qec "$R run -p Once -n 2 --temperature 0 --profile" /dev/null >"$T/out" </dev/null
    grep -q "$(printf '\033')\[1;3" "$T/out" && ok || bad "colours on a terminal"
    NO_COLOR=1 script -qec "$R run -p Once -n 2 --temperature 0 --profile" /dev/null >"$T/out" </dev/null
    grep -q "$(printf '\033')\[1;3" "$T/out" && bad "NO_COLOR" || ok
fi
refuses "a path that cannot be written, before the run" "$T/none/p.svg" run -p x -n 4 --profile-svg "$T/none/p.svg"
refuses "a device is no file for a page"       "/dev/null" run -p x -n 4 --profile-html /dev/null

echo "[  PASSED  ] $passed test(s)."
[ $failed -eq 0 ]
