#!/usr/bin/env bash
# Codes of PCA, of tables and images, are products by cuBLAS: on the emulated device, and on three, those of the CPU but for
# rounding, and so are rows decoded and scores of images. bash tests/simt/test_codes.sh PATH/TO/doppel_simt
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/small_table.sh"
. "$here/../cli/bars.sh"
. "$here/../cli/expect.sh"

small_table 500 >table.csv
bars images 150 1
images=images-images-idx3-ubyte
expect_status 0 "$doppel" fit table.csv -o table.doppel --model pca --components 2 -q
expect_status 0 "$doppel" fit $images -o images.doppel --model pca --components 4 -q

# on_both NAME COMMAND...: to NAME-cpu.csv and NAME-cuda.csv, whose numbers agree; calls of CUDA's functions are counted.
on_both() {
  local name=$1
  shift
  expect_status 0 "$doppel" "$@" -o $name-cpu.csv --backend cpu -q
  EMULATED_CALLS=calls.txt expect_status 0 "$doppel" "$@" -o $name-cuda.csv --backend cuda --threads 1 -q
  (($(<calls.txt) > 20)) || fail "$name: $(<calls.txt) calls"
  EMULATED_DEVICES=3 expect_status 0 "$doppel" "$@" -o $name-devices.csv --backend cuda:all --threads 3 -q
  cmp $name-cuda.csv $name-devices.csv || fail "$name: another output of three devices"
  python3 - $name-cpu.csv $name-cuda.csv <<'PYTHON' || fail "$name differs"
import csv, sys
cpu, cuda = (list(csv.reader(open(path))) for path in sys.argv[1:])
assert len(cpu) == len(cuda) and len(cpu) > 100
for a, b in zip(cpu, cuda):
    for x, y in zip(a, b, strict=True):
        try: assert abs(float(x) - float(y)) <= 1e-6 + 1e-6 * abs(float(x)), (a, b)
        except ValueError: assert x == y, (a, b)
PYTHON
}
on_both codes encode table.doppel table.csv
on_both rows decode table.doppel codes-cpu.csv
on_both codes-of-images encode images.doppel $images
on_both scores score images.doppel $images
for backend in cpu cuda; do
  expect_status 0 "$doppel" decode images.doppel codes-of-images-cpu.csv -o images-$backend.npy --backend $backend -q
done
python3 - <<'PYTHON' || fail "decoded images differ"
cpu, cuda = (open(f"images-{backend}.npy", "rb").read() for backend in ("cpu", "cuda"))
assert len(cpu) == len(cuda) > 1000
different = [i for i in range(len(cpu)) if cpu[i] != cuda[i]]
assert len(different) <= len(cpu) // 1000 and all(abs(cpu[i] - cuda[i]) == 1 for i in different), len(different)
PYTHON
exit $((failures > 0))
