#!/usr/bin/env bash
# Everything that needs a CUDA device, in one command of under ten minutes: bash bench/gpu_check.sh [FOLDER]
# Builds for this machine's GPU, runs the CUDA tests on it, runs them again under compute-sanitizer where that is installed,
# and measures the table sampler. All of it goes into FOLDER (build/gpu-check), the verdict into FOLDER/summary.txt.
# Status 0: all passed. 1: something failed. 77: there is no device here, nothing was done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
results=$(realpath -m "${1:-build/gpu-check}") build=build/gpu

no_device() {
  echo "gpu_check: $1; nothing was done" >&2
  exit 77
}
command -v nvidia-smi >/dev/null || no_device 'no nvidia-smi: no CUDA driver on this machine'
capabilities=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null) || no_device 'nvidia-smi reaches no CUDA driver'
architectures=$(tr -d '. ' <<<"$capabilities" | grep -E '^[0-9]+$' | sort -u | paste -sd';' -) || no_device 'no CUDA device'
command -v "${CUDACXX:-nvcc}" >/dev/null || [[ -x /usr/local/cuda/bin/nvcc ]] ||
  no_device 'a CUDA device, but no nvcc to compile for it'

mkdir -p "$results"
summary=$results/summary.txt
: >"$summary"
failures=0
SECONDS=0
say() { printf 'gpu_check: %s\n' "$*" | tee -a "$summary"; }
step() {  # step NAME SECONDS COMMAND...: runs it with its output in NAME.txt; at most so many seconds
  local name=$1 limit=$2 status=0 began=$SECONDS
  shift 2
  timeout "$limit" "$@" >"$results/$name.txt" 2>&1 || status=$?
  if ((status == 0)); then
    say "$name: passed in $((SECONDS - began)) s"
  else
    ((status != 124)) || echo "stopped after $limit s" >>"$results/$name.txt"
    say "$name: FAILED (status $status after $((SECONDS - began)) s), see $results/$name.txt"
    failures=$((failures + 1))
  fi
  return "$status"
}

{ nvidia-smi; nvidia-smi -q -d CLOCK,POWER; git log -1 --oneline; lscpu | head -n 20; } >"$results/machine.txt" 2>&1 || true
say "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1), compute capability $architectures"

targets=(doppel_cuda test_cuda test_simt bench_sampling)
step configure 120 cmake --preset cuda -B "$build" "-DCMAKE_CUDA_ARCHITECTURES=$architectures" || exit 1
step build 300 cmake --build "$build" -j "$(nproc)" --target "${targets[@]}" || exit 1

tests=$build/tests/simt/test_cuda
export OPENBLAS_NUM_THREADS=1
step emulated 60 "$build/tests/simt/test_simt" || true
if step device 120 "$tests"; then
  # One test is for machines without a device; any other that was skipped is a device that was not tested.
  skipped=$(grep -E '^\[  SKIPPED \] .*ms\)$' "$results/device.txt" | grep -vc WithoutADevice || true)
  ((skipped == 0)) || { say "device: FAILED, $skipped tests were skipped"; failures=$((failures + 1)); }
fi
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    step "$tool" 90 compute-sanitizer --tool "$tool" --error-exitcode 1 "$tests" --gtest_filter='Device/*' || true
  done
else
  say 'no compute-sanitizer here: memory, races, initialisation and barriers were not checked on the device'
fi
step sampling 60 "$build/bench/bench_sampling" --benchmark_filter=cuda --benchmark_repetitions=3 \
  --benchmark_out="$results/sampling.json" --benchmark_out_format=json || true
grep -q '/cuda' "$results/sampling.json" || { say 'sampling: FAILED, nothing was measured on the device'; failures=$((failures + 1)); }

say "$failures failures in $SECONDS s; everything is in $results"
exit $((failures > 0))
