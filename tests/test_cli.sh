#!/bin/sh
# The command line as a person meets it: answers, and what it says when something is wrong.
R=${BUILD:-build}/ridge
T=$(mktemp -d) passed=0 failed=0
trap 'rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; sed 's/^/    /' "$T/out" "$T/err" 2>/dev/null | head -12; }
run() { timeout "${TEST_SECONDS:-60}" "$@" >"$T/out" 2>"$T/err" </dev/null; status=$?; }
gives() { # what it protects, expected text in the output, command ...
    what=$1 text=$2; shift 2; run "$@"
    if [ $status -eq 0 ] && { [ -z "$text" ] || grep -qF -- "$text" "$T/out"; }; then ok; else bad "$what (status $status)"; fi
}
refuses() { # what it protects, expected text of the error, command ...
    what=$1 text=$2; shift 2; run "$@"
    if [ $status -eq 1 ] && grep -qF -- "$text" "$T/err"; then ok; else bad "$what (status $status)"; fi
}
same() { if cmp -s "$2" "$3"; then ok; else bad "$1"; fi; }

# ---- answers ----
gives "the default model completes"          "there was"        $R run -p "Once upon a time" -n 30 --temperature 0
cp "$T/out" "$T/greedy"; grep -q "TTFT .* ms per token, .* tokens/s, .* GB/s" "$T/err" && ok || bad "the account on stderr"
grep -q "^loaded .* GiB in .* s: .* GB/s" "$T/err" && ok || bad "how fast the model was loaded, on stderr"
run $R run -p "The little dog" -n 30 --temperature 0; cp "$T/out" "$T/tiers"      # no two tokens nearly equal in it
for tier in reference avx2 avx512 amx; do
    [ $tier = reference ] || grep -q "${tier%512}" /proc/cpuinfo || continue
    run $R run -p "The little dog" -n 30 --temperature 0 --tier $tier
    grep -q "has no $tier" "$T/err" || same "the same text on tier $tier" "$T/out" "$T/tiers"
done
run $R run -p "Once upon a time" -n 30 --temperature 1 --seed 5; cp "$T/out" "$T/five"
run $R run -p "Once upon a time" -n 30 --temperature 1 --seed 5 --threads 1; same "the same seed, other threads: the same text" "$T/out" "$T/five"
run $R run -p "Once upon a time" -n 30 --temperature 1 --seed 6; cmp -s "$T/out" "$T/five" && bad "another seed, another text" || ok
printf 'Once upon a time' > "$T/prompt"
run $R run -f "$T/prompt" -n 30 --temperature 0; same "a prompt from a file" "$T/out" "$T/greedy"
timeout 60 $R run -n 30 --temperature 0 < "$T/prompt" > "$T/out" 2>"$T/err"; same "a prompt from standard input" "$T/out" "$T/greedy"
gives "several samples are told apart"       "--- sample 3"     $R run -p "The old man" -n 8 --samples 3 --temperature 1 --seed 1
gives "JSON has the ids and the reason"      '"finish_reason":"length"' $R run -p "The old man" -n 4 --json --temperature 0 --logprobs 2
grep -q '"top_logprobs":\[{"id":' "$T/out" && ok || bad "JSON has the log-probabilities"
run $R run -p "The sea" -n 9 --temperature 0 --json --logprobs 1
[ "$(grep -o '"top_logprobs":' "$T/out" | wc -l)" = "$(grep -o '"ids":\[[^]]*' "$T/out" | tr ',' '\n' | wc -l)" ] && ok ||
    bad "every token has its log-probability, the one that ends the answer too"
gives "a chat answers"                       "Paris"            sh -c "echo 'What is the capital of France?' | $R chat --temperature 0"
printf 'What is the capital of France?\nWhat is 2 + 3?\n/stats\n/save %s\n' "$T/saved.json" > "$T/turns"
gives "a chat takes turns and reuses what it computed" "from the cache" sh -c "$R chat --temperature 0 < $T/turns"
grep -Eq "[1-9][0-9]* of them from the cache" "$T/out" && ok || bad "the second turn reuses the first"
grep -q '"role": "assistant"' "$T/saved.json" && ok || bad "/save writes the conversation"

# ---- tools ----
gives "inspect knows the family"             "llama"            $R inspect
gives "inspect in JSON"                      '"bytes_per_token"' $R inspect --json
gives "inspect tells each kind of cache"     '"kind": "full"'   $R inspect --json
gives "a model that has learned it finds all pairs again" "100.0 %" $R recall --pairs 8 --cases 8
run $R recall --pairs 8 --cases 8 --print; cp "$T/out" "$T/recall.jsonl"
gives "the printed tasks are what is asked"  "8 of 8 right"     $R score --jsonl "$T/recall.jsonl"
gives "recall takes tasks from a file"       '"right":8'        $R recall -f "$T/recall.jsonl" --json
refuses "a list longer than the model can read" "give fewer --pairs" $R recall --pairs 900 --cases 1
gives "families are listed with their names in GGUF" "gemma3_text          gemma3" $R families gemma
refuses "a family that there is not"         "no family has"    $R families xyzzy
gives "check finds nothing wrong"            "nothing wrong"    $R check
gives "tokenize in JSON"                     '"ids":['          $R tokenize -p "Hello world" --json
gives "ids back to text"                     "Hello"            $R tokenize --decode -p "$($R tokenize -p 'Hello' --json | sed 's/.*"ids":\(\[[^]]*\]\).*/\1/')"
gives "logits of a prompt"                   '"greedy": ['      $R logits --ids 1,452,214 --last 1 --greedy 4 --json
run $R logits --ids 1,452,214,3014,274 --json; cp "$T/out" "$T/whole"
for chunk in 1 2; do run $R logits --ids 1,452,214,3014,274 --json --chunk $chunk; same "the same bits in chunks of $chunk" "$T/out" "$T/whole"; done
# Rounded to bf16: who asks for it is told where there is no such thing; else other bits, and the same tokens.
ids=$(seq -s, 500 599)
run $R logits --ids "$ids" --last 1 --greedy 4 --json; cp "$T/out" "$T/exact"
for tier in reference avx2 avx512 amx; do
    run $R logits --ids "$ids" --last 1 --greedy 4 --json --products bf16 --tier $tier
    if grep -q "has no $tier" "$T/err"; then continue; fi
    case $tier in
    reference | avx2) grep -q "no products of bf16" "$T/err" && ok || bad "tier $tier says nothing" ;;
    avx512) same "weights of integers are exact on tier avx512" "$T/out" "$T/exact" ;;
    amx) cmp -s "$T/out" "$T/exact" && bad "nothing was rounded on tier amx" || ok
        [ "$(grep -o '"greedy": .*' "$T/out")" = "$(grep -o '"greedy": .*' "$T/exact")" ] && ok || bad "rounded: other tokens" ;;
    esac
done
gives "logits to a file"                     ""                 $R logits --ids 1,2,3 -o "$T/logits.safetensors"
run $R check "$T/logits.safetensors"; grep -q "2 tensors" "$T/out" && ok || bad "that file is well formed"
printf '{"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": true}' > "$T/chat.json"
gives "a template is rendered"               "<|im_start|>user" $R template --input "$T/chat.json"
printf '{{ raise_exception("no cats") }}' > "$T/no.jinja"
refuses "a template's own error"             "no cats"          $R template --template "$T/no.jinja" --input "$T/chat.json"
printf '{%% for i in range(100000) %%}{%% for j in range(100000) %%}{%% endfor %%}{%% endfor %%}' > "$T/loop.jinja"
refuses "a template that loops"              "line 1"           $R template --template "$T/loop.jinja" --input "$T/chat.json"
gives "convert writes another format"        "tensors"          $R convert models -f q4_0 -o "$T/q4.gguf"
gives "which runs"                           '"ids":['          $R run -m "$T/q4.gguf" -p "Once upon a time there was a time" -n 20 --temperature 0 --json
gives "the library's example runs"           "there was"        ${BUILD:-build}/examples/complete "Once upon a time"
gives "help teaches"                         "--top-k"          $R run --help
gives "a page for man"                       ".SH DESCRIPTION"  $R help --man run
gives "parts can be dumped"                  ""                 $R run -p Hi -n 1 --temperature 0 --dump layer.3.attn
grep -q "layer.3.attn" "$T/err" && ok || bad "the dump names its part"
gives "fast and reference agree, operation by operation" "" $R run -p "Hello there" -n 3 --temperature 0 --compare
grep -q "compared: none differs" "$T/err" && ok || bad "compare finds no difference"
gives "a trace is written"                   ""                 $R run -p Hi -n 2 --temperature 0 --trace "$T/trace.json"
grep -q '"ph": "X"' "$T/trace.json" && ok || bad "the trace has events"

# ---- diffusion ----
printf '{"model_type": "llada", "d_model": 64, "n_layers": 2, "n_heads": 4, "mlp_hidden_size": 96, "vocab_size": 512,
"max_sequence_length": 96, "rms_norm_eps": 1e-5, "weight_tying": true, "mask_token_id": 500}' > "$T/llada.json"
gives "a made-up diffusion model"            ""                 $R synth "$T/llada.json" -f f32 -o "$T/llada.gguf"
gives "inspect says which token is the mask" "mask 500"         $R inspect "$T/llada.gguf"
D="$R run -m $T/llada.gguf -p Hello"
gives "an answer is refined"                 '"steps":8'        $D -n 16 --block-length 8 --steps 8 --temperature 0 --seed 1 --json
sed 's/"timings.*//' "$T/out" > "$T/whole"
gives "each step is a line of JSON"          '"masks":14'       $D -n 16 --block-length 8 --steps 8 --temperature 0 --seed 1 --stream-refinement
[ "$(wc -l < "$T/out")" = 9 ] && ok || bad "as many lines as steps, and the answer"
tail -n 1 "$T/out" | sed 's/"timings.*//' > "$T/last"; cmp -s "$T/last" "$T/whole" && ok || bad "whose last line is the answer"
sed -n 8p "$T/out" | grep -q '"masks":0' && ok || bad "no mask is left after the last step"
[ "$(sed -n 4p "$T/out" | grep -o null | wc -l)" = 8 ] && ok || bad "a block is done before the next begins"
for rule in random maskgit_plus topk_margin entropy origin; do
    run $D -n 16 --remasking $rule --alg-temp 0.2 --temperature 1 --seed 3 --json; sed 's/"timings.*//' "$T/out" > "$T/one"
    run $D -n 16 --remasking $rule --alg-temp 0.2 --temperature 1 --seed 3 --json --threads 1; sed 's/"timings.*//' "$T/out" > "$T/two"
    same "remasking by $rule: the same seed, the same text" "$T/one" "$T/two"
done
gives "with the prefix cache"                '"rows_per_step"'  $D -n 16 --block-length 8 --diffusion-cache prefix --temperature 0 --json
gives "several samples at once"              "--- sample 3"     $D -n 16 --samples 3 --temperature 1 --seed 1
gives "logits of a whole text"               '"logits": ['      $R logits -m "$T/llada.gguf" --ids 1,500,3 --json --last 2
printf '{"prompt": "ab", "expected": "cd ef"}\n{"prompt": "x", "expected": "yz"}\n' > "$T/fill.jsonl"
gives "cached answers against exact ones"    "prefix "          $R denoise -m "$T/llada.gguf" --jsonl "$T/fill.jsonl"
gives "the loss at masks"                    "nats per masked"  $R denoise -m "$T/llada.gguf" -f README.md -c 64
if [ -f "${RIDGE_SHARED:-../shared}/models/diffusion/config.json" ]; then
    printf 'What is the capital of France?\n/stats\n' > "$T/turns"
    gives "a diffusion model chats"          "Paris"            sh -c "$R chat -m ${RIDGE_SHARED:-../shared}/models/diffusion --temperature 0 < $T/turns"
    grep -q "last answer: 16 prompt tokens" "$T/out" && ok || bad "and tells what that cost"
else
    echo "NOT TESTED: ${RIDGE_SHARED:-../shared}/models/diffusion is absent, so no diffusion model chats" >&2
fi
gives "a text between two texts"             '"finish_reason":"length"' $D -n 12 --suffix " world" --json
refuses "a block that does not divide"       "must divide"      $D -n 16 --block-length 5
refuses "steps that blocks cannot share"     "multiple of the 2 blocks" $D -n 16 --block-length 8 --steps 5
refuses "more steps than tokens"             "at most"          $D -n 16 --steps 32
refuses "more than the context"              "context of 96"    $D -n 100
refuses "penalties of a refinement"          "penalties"        $D -n 8 --presence-penalty 1
refuses "log-probabilities of a refinement"  "any order"        $D -n 8 --logprobs 1
refuses "greedy tokens of a diffusion model" "ridge run"        $R logits -m "$T/llada.gguf" --ids 1 --greedy 2 --json
refuses "its perplexity"                     "ridge denoise"    $R score -m "$T/llada.gguf" -p x
cat > "$T/tiny.json" <<'END'
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
 "num_key_value_heads": 2, "vocab_size": 300, "rms_norm_eps": 1e-6, "max_position_embeddings": 512, "rope_theta": 10000.0}
END
gives "a made-up model runs without a file"   ""               $R run -m "synth:$T/tiny.json:q8_0" -p "Hello" -n 4
gives "and is inspected"                      "Q8_0"           $R inspect "synth:$T/tiny.json:q8_0"
gives "and measured, in each format of a list" "tiny.json:q4_0" $R bench -m "synth:$T/tiny.json:q8_0,q4_0" -p 0 -n 2 -r 1
[ "$(grep -c "tg2 |" "$T/out")" = 2 ] && ok || bad "a row for each format"
for size in llama-3.1-70b:70553.71 mixtral-8x7b:46702.79 deepseek-v2-lite:15706.48 gemma-2-2b:2614.34 mamba2-2.7b:2702.60; do
    gives "the named shape ${size%:*}"        " ${size#*:} M"   $R inspect "synth:${size%:*}:q8_0"
done
refuses "a shape that has no name"            "no shape 'x'"   $R run -m synth:x:q8_0 -p "Hello"
export RIDGE_MACHINE="$T/machine.json"
run $R bench -p 0 -n 2 -r 1
grep -q "run .ridge probe" "$T/out" && grep -q "not known" "$T/out" && ok || bad "bench says how to learn the bounds"
echo '{"bytes_per_second": 1e9, "fp32": 1e9, "bf16": 1e9, "int8": 1e9, "threads": 1}' > "$RIDGE_MACHINE"
gives "bench measures all combinations"       "share of the bound" $R bench -p 8 -n 2 -r 1 -b 1,2 -d 0,8 -ctk f32,bf16 --profile
[ "$(grep -c "% arithmetic" "$T/out")" -ge 4 ] && [ "$(grep -c "BF16 |" "$T/out")" = 6 ] && ok || bad "a row for each, with its bound"
grep -q "bound" "$T/err" && ok || bad "the profile has the bound of each operation"
gives "bench in CSV has the share"            ",bound,share_of_bound" $R bench -p 0 -n 2 -r 1 -o csv
gives "bench in JSON has the share"           '"share_of_bound"'  $R bench -p 0 -n 2 -r 1 -o json
refuses "a kind of cache that there is not"   "none of auto,"    $R bench -ctk f32,f33
refuses "its speed by the token"             "ridge denoise"    $R bench -m "$T/llada.gguf"
refuses "refinement of another model"        "continues a text token by token" $R run -p x --steps 4
refuses "masks of another model"             "ridge score"      $R denoise -f README.md

# ---- what is wrong is told ----
refuses "an unknown command"                 "no command 'rnu'" $R rnu
refuses "an unknown flag"                    "--tempr"          $R run --tempr 1 -p x
refuses "a number that is none"              "--top-k"          $R run --top-k many -p x
refuses "a number out of range"              "--top-p"          $R run --top-p 7 -p x
mkfifo "$T/pipe.gguf"
refuses "a pipe is no model, and nobody waits for it" "not a regular file" $R run -m "$T/pipe.gguf" -p x
refuses "no such file"                       "no/such.gguf"     $R run -m no/such.gguf -p x
refuses "a directory without a model"        "$T"               $R run -m "$T" -p x
refuses "an empty prompt"                    "empty"            $R run -p ""
refuses "a prompt beyond the context"        "context"          sh -c "yes word | head -c 20000 | $R run -n 4"
refuses "a token that is none"               "99999"            $R logits --ids 99999 --json
refuses "a full disk"                        "standard output"  sh -c "$R run -p 'Once' -n 20 > /dev/full"
refuses "a full disk, for a file"            "/dev/full"        $R logits --ids 1 -o /dev/full
gives "a closed pipe ends it quietly enough" ""                 sh -c "$R run -p 'Once upon' -n 400 | head -c 5 > /dev/null"
gives "invalid UTF-8 is read"                ""                 sh -c "printf 'a\\377\\376b' | $R run -n 2 --temperature 0"
head -c 1000000 models/*.gguf > "$T/short.gguf"
refuses "a file that is cut short"           "cut short"        $R run -m "$T/short.gguf" -p x
refuses "and check says so too"              "cut short"        $R check "$T/short.gguf"
: > "$T/empty.gguf"
refuses "an empty file"                      "empty.gguf"       $R run -m "$T/empty.gguf" -p x
case $R in
*/sanitize*/*) ;;   # a sanitizer wants terabytes of addresses
*) refuses "no memory"                       ""                 sh -c "ulimit -v 60000; $R run -p x" ;;
esac
mkdir "$T/odd"; cp tests/fixtures/hf/llama/* "$T/odd/"
sed -i 's/"num_attention_heads": 4/"num_attention_heads": 3/' "$T/odd/config.json"
refuses "heads that cannot be shared evenly" "evenly"           $R inspect "$T/odd"
sed 's/"hidden_size": 64/"hidden_size": 96/' tests/fixtures/hf/llama/config.json > "$T/odd/config.json"
refuses "a config that contradicts the weights" "model.embed_tokens.weight" $R inspect "$T/odd"
sed 's/"model_type": "llama"/"model_type": "lama"/' tests/fixtures/hf/llama/config.json > "$T/odd/config.json"
refuses "an unknown family names the nearest" "llama"           $R inspect "$T/odd"
sed 's/"rope_type": "default"/"rope_type": "spiral"/' tests/fixtures/hf/llama/config.json > "$T/odd/config.json"
refuses "an unknown rope type by name"       "spiral"           $R inspect "$T/odd"

echo "[  PASSED  ] $passed test(s)."
[ $failed -eq 0 ]
