#!/usr/bin/env bash
# The layer law: includes point host -> engine -> kernels; Arrow, the command line and threads stay in host, CUDA in kernels.
# And the bit law's half that is the compiler's: no flag lets it change arithmetic.
set -u
build=$(dirname "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
failures=0
forbid() {  # forbid PATTERN WHY FOLDER...: no source file of the folders has a line that matches
  local pattern=$1 why=$2 found
  shift 2
  found=$(grep -rnE "$pattern" --include='*.h' --include='*.cpp' --include='*.cu' --include='*.cuh' "$@")
  if [[ -n $found ]]; then
    printf '%s:\n%s\n' "$why" "$found"
    failures=$((failures + 1))
  fi
}
forbid '#include "(engine|host)/' 'kernels includes what is above it' kernels
forbid '#include "host/' 'engine includes what is above it' engine
forbid '#include <(arrow|parquet|CLI)/' 'a library of the host is used below it' kernels engine
forbid '#include <(fstream|filesystem|thread|mutex|condition_variable|fcntl\.h|unistd\.h)>' 'engine knows files or threads' engine
forbid '#include .*(cuda|cublas|cusolver|thrust/|cub/)' 'CUDA is used above kernels' engine host
if [[ -s $build/compile_commands.json ]]; then
  commands=$(grep '"command"' "$build/compile_commands.json")
  if grep -E -- '-ffast-math|-Ofast|-march=native|-ffp-contract=(fast|on)|--use_fast_math' <<<"$commands"; then
    echo 'the flags above let the compiler change arithmetic'
    failures=$((failures + 1))
  fi
  if grep -v -- '-ffp-contract=off' <<<"$commands" | grep -vE '\.(cu|S)[" ]|nvcc'; then
    echo 'the files above are compiled without -ffp-contract=off'
    failures=$((failures + 1))
  fi
fi
exit $((failures > 0))
