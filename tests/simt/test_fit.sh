#!/usr/bin/env bash
# Networks of images are trained on the emulated device as on the CPU, within the tolerance of TF32, resumed to the same
# bytes, and give codes and scores. bash tests/simt/test_fit.sh PATH/TO/doppel_simt
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$(realpath -m "${DOPPEL_DATA:-$here/../../../shared/data}")
. "$here/../cli/bars.sh"
. "$here/../cli/expect.sh"

bars many 150 1  # two steps an epoch
bars few 60 1

# The losses of each epoch on both: of parameters that every step before has moved.
agree() {  # agree MODEL DATA EPOCHS
  local fit=("$doppel" fit "$2-images-idx3-ubyte" --model "$1" --epochs "$3" --seed 2)
  [[ $1 == cnn ]] || fit+=(--texture 1)
  for backend in cpu cuda; do
    expect_status 0 "${fit[@]}" -o $1-$backend.doppel --backend $backend --json $1-$backend.json
  done
  python3 - $1-cpu.json $1-cuda.json <<'PYTHON' || fail "losses of $1 differ"
import json, sys
cpu, cuda = (json.load(open(path)) for path in sys.argv[1:])
assert cuda["backend"].startswith("cuda:0"), cuda["backend"]
assert cpu["history"] != cuda["history"], "the same bits: not of the device"
for a, b in zip(cpu["history"], cuda["history"], strict=True):
    for name in a:
        assert abs(a[name] - b[name]) <= 2e-3 * abs(a[name]) + 1e-3, (name, a, b)
PYTHON
}
agree vae-dense many 2
agree vae few 2
agree cnn few 2

# Codes and scores of one model on both.
for backend in cpu cuda; do
  for what in encode score; do
    expect_status 0 "$doppel" $what vae-dense-cpu.doppel few-images-idx3-ubyte -o $what-$backend.csv --backend $backend \
      --threads 1
  done
done
for what in encode score; do
  python3 - $what-cpu.csv $what-cuda.csv <<'PYTHON' || fail "$what differs"
import csv, sys
cpu, cuda = (list(csv.DictReader(open(path))) for path in sys.argv[1:])
assert len(cpu) == 60 and cpu != cuda
for a, b in zip(cpu, cuda, strict=True):
    for name in a:
        try: value, other = float(a[name]), float(b[name])
        except ValueError: assert a[name] == b[name]
        else: assert abs(value - other) <= 1e-2 + 1e-3 * abs(value), (name, a, b)
PYTHON
done

# A fit that is interrupted half-way goes on to the same model.
long=("$doppel" fit few-images-idx3-ubyte --model vae-dense --epochs 8 --seed 2 --backend cuda --texture none)
interrupt_fit "${long[@]}"
expect_status 2 "${long[@]/cuda/cpu}" -o long.doppel --resume
expect_error "is of another training: the backend"
expect_status 0 "${long[@]}" -o long.doppel --resume
cmp whole.doppel long.doppel || fail "a resumed fit is another model"

# The first digits of MNIST, four steps.
if [[ -e $data/mnist ]]; then
  python3 - "$data/mnist/train" 512 <<'PYTHON'
import gzip, struct, sys
source, count = sys.argv[1], int(sys.argv[2])
for name, header, size in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
    first = gzip.open(f"{source}-{name}-ubyte.gz").read(header + count * size)
    open(f"digits-{name}-ubyte", "wb").write(first[:4] + struct.pack(">I", count) + first[8:])
PYTHON
  agree vae-dense digits 1
else
  echo "no $data/mnist: digits were not trained"
fi
exit $((failures > 0))
