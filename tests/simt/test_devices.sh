#!/usr/bin/env bash
# Three emulated devices as one, whole commands: what they write is one device's to the byte.
# bash tests/simt/test_devices.sh PATH/TO/doppel_simt
. "$(dirname "${BASH_SOURCE[0]}")/small_table.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"
export EMULATED_DEVICES=3

small_table 400 >table.csv

# both NAME COMMAND...: on one device to NAME-one, on three to NAME-all, which are the same.
both() {
  local name=$1
  shift
  expect_status 0 "$@" -o $name-one --backend cuda:1 -q
  EMULATED_CALLS=calls.txt expect_status 0 "$@" -o $name-all --backend cuda:all --threads 3 -q --json $name.json
  grep -q '"backend": "cuda:0,1,2 (3 x CPU emulation)"' $name.json || fail "$name: not on three devices"
  diff -r -x 'manifest*' $name-one $name-all >/dev/null || fail "$name: another output"
}
both model "$doppel" fit table.csv --members 3
both rows "$doppel" generate model-one --rows 20000 --rows-per-file 7000

# Devices are lost: the job ends with an error, and goes on where it stopped on those that are left.
EMULATED_FAILING_CALL=$(($(<calls.txt) * 2 / 3)) EMULATED_LOSS=1 expect_status 1 "$doppel" generate model-one --rows 20000 --rows-per-file 7000 \
  -o lost --backend cuda:all --threads 3 -q
expect_error "CUDA"
expect_status 0 "$doppel" generate model-one --rows 20000 --rows-per-file 7000 -o lost --resume --backend cuda:0,2 -q
diff -r -x 'manifest*' rows-one lost >/dev/null || fail "another output after a loss"

expect_status 1 "$doppel" generate model-one --rows 10 -o no --backend cuda:0,3
expect_error "no CUDA device 3: this machine has 3, counted from 0"
expect_status 2 "$doppel" generate model-one --rows 10 -o no --backend cuda:0,x
expect_error "cuda:all"
exit $((failures > 0))
