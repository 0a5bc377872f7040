#!/usr/bin/env bash
# What nvcc makes of the kernels (bench/kernel_report.py): no spills, no local memory, accesses of 16 bytes where memory
# binds. test_kernel_report.sh NVCC "80-real;90" FOLDER_OF_OBJECTS   status 77 (skipped) where there is no nvcc or no disassembler
set -euo pipefail
nvcc=$1 architectures=$2 objects=$3
[[ -n $nvcc ]] || { echo 'no nvcc'; exit 77; }
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
report() { CUDACXX=$nvcc python3 bench/kernel_report.py --check "$@"; }

# That this test can fail: an array whose index is known at run time only lies in local memory, and a kernel of the name of
# one that memory binds moves four bytes at a time.
cat >"$work/co_moments.cu" <<'CUDA'
__global__ void __launch_bounds__(64) bad(const int* order, float* x) {
  float values[64];
  for (int i = 0; i < 64; ++i) values[order[i]] = x[i];
  for (int i = 0; i < 64; ++i) x[i] = values[i] * 2;
}
__global__ void __launch_bounds__(64) square_kernel(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }
CUDA
status=0
report --architectures "$(grep -oE '[0-9]+' <<<"$architectures" | head -n 1)" "$work/co_moments.cu" >"$work/out" 2>"$work/err" || status=$?
[[ $status != 77 ]] || { cat "$work/err"; exit 77; }
for fault in 'bad, .*: local memory' 'square_kernel, .*: widest load of memory: 4 bytes' 'square_kernel, .*: widest store to memory: 4 bytes'; do
  ((status == 1)) && grep -qE "$fault" "$work/err" || { cat "$work/out" "$work/err"; echo "not found: $fault"; exit 1; }
done

report --architectures "$architectures" --objects "$objects"
