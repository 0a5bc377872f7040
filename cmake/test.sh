#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: bash cmake/test.sh
# All tests in the release build, those of the scheduler with the thread sanitizer among them; those of the layers again with the
# address and undefined-behaviour sanitizers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs=$(nproc)
export OMP_NUM_THREADS=1  # of OpenBLAS and oneDNN: a test is a process, and ctest runs as many as there are cores
SECONDS=0
bash cmake/setup.sh test

build() {  # build PRESET TARGET...: configures and builds, quietly as long as all goes well
  echo "test: building preset $1"
  cmake --preset "$1" -DDOPPEL_UNITY=ON >"build/$1.log" 2>&1 &&
    cmake --build --preset "$1" -j "$jobs" --target "${@:2}" >>"build/$1.log" 2>&1 && return
  cat "build/$1.log" >&2
  echo "test: error: the build of preset $1 failed; its log is build/$1.log" >&2
  exit 1
}

build release all
build debug test_kernels test_engine test_host
echo "test: built after $SECONDS s"
ctest --preset debug -j "$jobs" --no-tests=error
ctest --preset release -j "$jobs" --no-tests=error
echo "test: all passed in $SECONDS s"
