#!/bin/sh
# Where there is no GPU, --device cuda says so and what to do, and --device auto says so and computes on the CPU. Protects the
# promise that one program starts everywhere.
BUILD=${BUILD:-build}
RIDGE=$BUILD/ridge
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then
    echo "NOT TESTED: this machine has a GPU"
    exit 0
fi
said=$($RIDGE run --device cuda -p 'Once' -n 1 2>&1) && { echo "it computed on a GPU that is not there: $said"; exit 1; }
case $said in
*"--device cpu"*) ;;
*) echo "no advice in: $said"; exit 1 ;;
esac
cpu=$($RIDGE run --device cpu -p 'Once upon a time' -n 8 --seed 1 2>/dev/null) || { echo "the CPU does not run"; exit 1; }
told=$(mktemp)
auto=$($RIDGE run --device auto -p 'Once upon a time' -n 8 --seed 1 2>"$told") || { echo "auto does not run"; exit 1; }
[ "$cpu" = "$auto" ] || { echo "auto said '$auto', the CPU '$cpu'"; exit 1; }
grep -q "so the CPU computes" "$told" || { echo "auto is silent about what computes"; exit 1; }
rm -f "$told"
for command in "probe --device cuda --dry-run" "bench --device cuda -m synth:llama-2-13b" "bench --device cuda --deterministic"; do
    said=$($RIDGE $command 2>&1) && { echo "ridge $command measured a GPU that is not there: $said"; exit 1; }
    case $said in
    *"--device cpu"*) ;;
    *) echo "ridge $command gives no advice: $said"; exit 1 ;;
    esac
done
$RIDGE run --device tpu -p x 2>/dev/null && { echo "an unknown device was taken"; exit 1; }
echo "[  PASSED  ] 7 test(s)."
