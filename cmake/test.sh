#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: bash cmake/test.sh
# First the release build with all tests, then, with the address and undefined-behaviour sanitizers, the tests that feed
# damaged and made-up files to the readers. The summary of each run stands at the end of its output.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs=$(nproc)
export OPENBLAS_NUM_THREADS=1  # each test is its own process: ctest runs as many as there are cores
SECONDS=0
bash cmake/setup.sh test

build() {  # build PRESET: configures and builds, quietly as long as all goes well
  echo "test: building preset $1"
  cmake --preset "$1" >"build/$1.log" 2>&1 && cmake --build --preset "$1" -j "$jobs" >>"build/$1.log" 2>&1 && return
  cat "build/$1.log" >&2
  echo "test: error: the build of preset $1 failed; its log is build/$1.log" >&2
  exit 1
}

build release
build debug
echo "test: built after $SECONDS s"
ctest --preset debug -j "$jobs" -R 'Fuzz|Robust|Damaged'
ctest --preset release -j "$jobs" --no-tests=error
echo "test: all passed in $SECONDS s"
