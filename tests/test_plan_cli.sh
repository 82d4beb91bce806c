#!/bin/sh
# ridge plan as a person meets it: the lecture's table, a suggestion, and what it says when something is wrong.
R=${BUILD:-build}/ridge
T=$(mktemp -d) passed=0 failed=0
trap 'rm -rf "$T"' EXIT
export RIDGE_MACHINE="$T/machine.json"   # and the journal beside it

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; sed 's/^/    /' "$T/out" "$T/err" 2>/dev/null | head -12; }
run() { timeout 60 "$@" >"$T/out" 2>"$T/err" </dev/null; status=$?; }
gives() { # what it protects, expected text in the output, command ...
    what=$1 text=$2; shift 2; run "$@"
    if [ $status -eq 0 ] && grep -qF -- "$text" "$T/out"; then ok; else bad "$what (status $status)"; fi
}
refuses() { # what it protects, expected text of the error, command ...
    what=$1 text=$2; shift 2; run "$@"
    if [ $status -eq 1 ] && grep -qF -- "$text" "$T/err"; then ok; else bad "$what (status $status)"; fi
}
also() { grep -qE -- "$2" "$T/out" && ok || bad "$1"; }

gives "the lecture's machine"                 "295 operations a byte" $R plan --lecture
also "batch 1"    ' 1 +26\.9 GB +8\.0 ms +124\.7 tok/s'
also "batch 64"   ' 64 +79\.7 GB +23\.8 ms +2,689 tok/s'
also "batch 256"  ' 256 +240\.8 GB .* does not fit in 80 GB'
also "batch 64 of 8 key/value heads"  ' 64 +33\.4 GB .* 6,417 tok/s'
also "batch 256 of the same"          ' 256 +65\.6 GB .* 13,068 tok/s$'
also "O(T^2) and O(T^3)"              'x 4\.0, x 8\.0'

gives "a plan"                                "largest batch  64 sequences" $R plan -m llama-2-13b --device h100
gives "a plan in JSON"                        '"limited_by": "memory"' $R plan -m mamba-2.8b --device l4 --batch 1 --json
gives "shards have their price"               "The price of 4 shards" $R plan -m llama-3.1-70b --device h200 --shards 4 --batch 8
gives "replicas add up"                       "3 replicas"       $R plan -m llama-3.2-1b --device l4 --replicas 3 --batch 2
gives "a draft gains"                         "tokens a step"    $R plan -m llama-3.1-8b --device l4 --draft llama-3.2-1b --batch 1
gives "what fits is told beside what does not" "Batch 256: does not fit; 64 would" $R plan -m llama-2-13b --device h100 --batch 1,256
gives "a checkpoint in its own formats"       "in BF16"          $R plan -m tests/fixtures/hf/llama --device l4 --batch 1 --context 32
gives "or in another"                         "in F16"           $R plan -m tests/fixtures/hf/llama --device l4 --format f16 --batch 1
gives "machines have names"                   "mi300x"           $R plan --list

gives "the cheapest that meets the bounds"    "The least cost: 1 x NVIDIA L4" \
    $R plan -m llama-3.1-8b --suggest --rate 0.5 --machines h100:2.50,l4:0.80 --format q8_0
gives "and why the others do not"             "tokens come too slowly" \
    $R plan -m llama-3.1-8b --suggest --machines l4:0.80 --latency 5 --format bf16
gives "or do not hold it"                     "one sequence needs 141" $R plan -m llama-3.1-70b --suggest --machines l4:1 --format bf16
refuses "a suggestion without machines"       "--machines"       $R plan -m llama-3.1-8b --suggest
refuses "a machine without a price"           "price per hour"   $R plan -m llama-3.1-8b --suggest --machines h100

refuses "a machine that was not probed"       "ridge probe"      $R plan -m llama-2-7b
echo '{"name": "abacus", "bytes_per_second": 1e10, "fp32": 1e11, "int8": 1e12, "memory_bytes": 8e9, "threads": 1}' > "$RIDGE_MACHINE"
gives "this is what ridge probe has kept"     "on abacus"        $R plan -m llama-3.2-1b --batch 1
gives "and so by its path"                    "on abacus"        $R plan -m llama-3.2-1b --batch 1 --device "$T/machine.json"
run $R bench -p 16 -n 4 -r 3 -t 1; run $R bench -p 16 -n 4 -r 3 -t 1
gives "predictions are held against runs"     "measured afterwards" $R plan --check
also "both rows of the second run were foretold" '^2 predictions'
gives "what was measured is learned"          "expected"         $R plan -p 16 -c 8 -b 1

refuses "an unknown machine"                  "no machine 'abacus'" $R plan -m llama-2-7b --device abacus
echo '{"bytes_per_second": -5}' > "$T/bad.json"
refuses "a negative bandwidth"                "'bytes_per_second'"  $R plan -m llama-2-7b --device "$T/bad.json"
echo '{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}' > "$T/config.json"
refuses "a shape without a field"             "vocab_size"       $R plan -m "$T/config.json" --device l4
refuses "a batch that no memory holds"        "at most 64 sequences" $R plan -m llama-2-13b --device h100 --batch 100000
refuses "a model that no memory holds"        "no batch fits"    $R plan -m llama-2-70b --device l4
refuses "shards that do not divide"           "40 heads"         $R plan -m llama-2-13b --device h100 --shards 3
refuses "a draft of other words"              "vocabulary"       $R plan -m llama-3.1-8b --device h100 --draft llama-2-7b
refuses "an unknown shape"                    "nosuch"           $R plan -m nosuch --device l4
refuses "an unknown format"                   "no number format" $R plan -m llama-2-7b --device l4 --format q99
echo '{' > "$T/runs.jsonl"
refuses "a spoilt journal"                    "runs.jsonl: line 1"  $R plan --check

echo "[  PASSED  ] $passed test(s)."
[ $failed -eq 0 ]
