#!/usr/bin/env bash
# What ptxas makes of the kernels: no spills, no local memory. Prints registers and shared memory of each.
# test_ptxas.sh NVCC "80;90" FILE.cu...   status 77 (skipped) where NVCC is empty
set -euo pipefail
nvcc=$1 architectures=$2
shift 2
[[ -n $nvcc ]] || { echo 'no nvcc'; exit 77; }
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# resources FILE ARCHITECTURE: one line a kernel, "name: stack 0, spilled 0, registers 72", on standard output.
resources() {
  "$nvcc" -std=c++20 -O3 --fmad=false -arch="sm_$2" -Xptxas=-v -I. -cubin -o "$work/kernel.cubin" "$1" >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; exit 1; }
  awk '/Compiling entry function/ { name = $7; gsub(/\047/, "", name) }
       /bytes stack frame/ { stack = $1; spilled = $5 + $9 }
       /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); print name ": stack " stack ", spilled " spilled ", registers " substr($0, RSTART + 5, RLENGTH - 5) }' "$work/log"
}
clean() { ! grep -vE ': stack 0, spilled 0, registers [0-9]+$' <<<"$1"; }  # prints what is not

# That this test can fail: an array whose index is known at run time only lies in local memory.
cat >"$work/bad.cu" <<'CUDA'
__global__ void bad(const int* order, float* x) {
  float values[64];
  for (int i = 0; i < 64; ++i) values[order[i]] = x[i];
  for (int i = 0; i < 64; ++i) x[i] = values[i] * 2;
}
CUDA
if clean "$(resources "$work/bad.cu" "$(grep -oE '[0-9]+' <<<"$architectures" | head -n 1)")" >/dev/null; then
  echo 'a kernel with local memory was not found'
  exit 1
fi

failures=0
for file in "$@"; do
  for architecture in $(grep -oE '[0-9]+' <<<"$architectures" | sort -nu); do
    report=$(resources "$file" "$architecture")
    printf '%s sm_%s\n%s\n' "$(basename "$file")" "$architecture" "$report"
    [[ -n $report ]] || { echo 'no kernels reported'; failures=$((failures + 1)); }
    clean "$report" >/dev/null || failures=$((failures + 1))
  done
done
((failures == 0)) || echo "$failures reports have spills or local memory, or no kernels"
exit $((failures > 0))
