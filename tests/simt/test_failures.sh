#!/usr/bin/env bash
# A hundred runs of commands on the emulated device, in each of which another of CUDA's calls fails, by itself or with all
# later ones: a command says what failed and leaves nothing under a final name but whole files, and then ends with the same
# bytes; or else the call did not matter. bash tests/simt/test_failures.sh PATH/TO/doppel_simt
. "$(dirname "${BASH_SOURCE[0]}")/../cli/bars.sh"
. "$(dirname "${BASH_SOURCE[0]}")/small_table.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"

bars x 90 1
bars y 60 2
small_table 300 >table.csv
small_table 1200 >long.csv  # enough rows and members for the device
expect_status 0 "$doppel" fit table.csv -o table.doppel --members 3 -q
expect_status 0 "$doppel" fit x-images-idx3-ubyte -o vae.doppel --model vae-dense --epochs 1 --texture 2 -q
expect_status 0 "$doppel" fit x-images-idx3-ubyte -o cnn.doppel --model cnn --epochs 1 -q

tried=0 failed=0
# same A B: files, but for their own names in reports, or folders of the same files, manifests aside: they keep the time.
same() {
  if [[ -d $1 ]]; then
    diff -r -x 'manifest*' "$1" "$2"
  else
    cmp <(LC_ALL=C sed "s/ -o $1</ -o $2</" "$1") "$2"
  fi >>same.txt 2>&1
}
# break_at CALL LOSS file|folder COMMAND...: COMMAND -o out with that call failing.
break_at() {
  local call=$1 loss=$2 kind=$3
  shift 3
  rm -rf out out.checkpoint
  local status=0
  env EMULATED_FAILING_CALL="$call" ${loss:+EMULATED_LOSS=1} "$@" -o out >stdout.txt 2>stderr.txt || status=$?
  tried=$((tried + 1))
  if ((status == 0)); then
    same whole out || fail "call $call of ($*) fails, status 0, and another output"
    return
  fi
  failed=$((failed + 1))
  [[ $status == 1 || ($status == 2 && $call -lt 9) ]] || fail "call $call of ($*): status $status ($(tail -n 1 stderr.txt))"
  [[ $(grep -c '^doppel: error: ' stderr.txt) == 1 ]] || fail "call $call of ($*): not one error ($(cat stderr.txt))"
  grep -qE '^doppel: error: .*(CUDA|cuda|kernels/)' stderr.txt || fail "call $call of ($*): $(cat stderr.txt)"
  if [[ $kind == file ]]; then
    [[ ! -e out ]] || fail "call $call of ($*) left a file"
    "$@" -o out >stdout.txt 2>stderr.txt || fail "after call $call of ($*): $(tail -n 1 stderr.txt)"
  else
    local part
    for part in out/part-*; do
      [[ ! -e $part ]] || cmp -s "$part" "whole/${part#out/}" || fail "call $call of ($*) left $part"
    done
    "$@" -o out $([[ -d out ]] && echo --resume) >stdout.txt 2>stderr.txt || fail "after call $call of ($*): $(tail -n 1 stderr.txt)"
  fi
  same whole out || fail "after call $call of ($*): another output"
}
# break_calls RUNS file|folder COMMAND...: calls evenly spread over all that the command makes.
break_calls() {
  local runs=$1 kind=$2
  shift 2
  rm -rf whole
  EMULATED_CALLS=calls.txt expect_status 0 "$@" -o whole
  local calls i
  calls=$(<calls.txt)
  ((calls >= runs)) || fail "only $calls calls of ($*)"
  for ((i = 0; i < runs; i++)); do
    break_at $((1 + i * (calls - 1) / (runs - 1))) "$([[ $((i % 2)) == 0 ]] || echo lost)" "$kind" "$@"
  done
}

common=(--backend cuda --threads 1 -q)
break_calls 58 folder "$doppel" generate table.doppel --rows 3000 --rows-per-file 700 "${common[@]}"
break_calls 6 folder "$doppel" generate table.doppel --rows 3000 --rows-per-file 700 --where "a>0 and b<1" "${common[@]}"
break_calls 6 file "$doppel" score table.doppel table.csv --format csv "${common[@]}"
break_calls 5 file "$doppel" evaluate --real table.csv --synthetic long.csv --no-detection "${common[@]}"
# The emulated device takes seconds for these.
break_calls 5 file "$doppel" fit long.csv --members 64 "${common[@]}"
break_calls 4 folder "$doppel" generate vae.doppel --rows 100 --format npy "${common[@]}"
break_calls 8 file "$doppel" fit x-images-idx3-ubyte --model vae-dense --epochs 1 --texture 2 "${common[@]}"
break_calls 4 file "$doppel" fit x-images-idx3-ubyte --model cnn --epochs 1 "${common[@]}"
break_calls 4 file "$doppel" evaluate --real x-images-idx3-ubyte --synthetic y-images-idx3-ubyte --model cnn.doppel \
  "${common[@]}"
echo "$tried calls failed, $failed of them the command"
((tried == 100 && failed >= 70)) || fail "$tried calls failed, $failed of them the command"
exit $((failures > 0))
