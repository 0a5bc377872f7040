#!/usr/bin/env bash
# The VAE of a table is trained on the emulated device as on the CPU, but for the order of sums: products are of single
# precision, not of TF32 as those of images. bash tests/simt/test_vae.sh PATH/TO/doppel_simt
. "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"

python3 - <<'PYTHON' || exit 1
import random
random.seed(1)
with open("table.csv", "w") as file:
    print("kind,size,weight", file=file)
    for row in range(400):
        kind, size = row % 3, random.gauss(0, 1)
        print("abc"[kind], f"{size:.3f}", "" if row % 17 == 0 else f"{(kind - 1) * size + random.gauss(0, 0.3):.3f}", sep=",",
              file=file)
PYTHON

fit=("$doppel" fit table.csv --model vae --epochs 4 --seed 2)
for model in cpu cuda again; do
  expect_status 0 "${fit[@]}" -o $model.doppel --backend ${model/again/cuda} --threads 1
  expect_status 0 "$doppel" inspect $model.doppel --json $model.json
done
cmp cuda.doppel again.doppel || fail "not the same bits each time"
python3 - <<'PYTHON' || fail "losses differ"
import json
cpu, cuda = (json.load(open(f"{backend}.json"))["epochs"] for backend in ("cpu", "cuda"))
assert len(cpu) == 4 and cpu != cuda, "the same bits: not of the device"
for a, b in zip(cpu, cuda, strict=True):
    for name in a:
        assert abs(a[name] - b[name]) <= 1e-5 * abs(a[name]), (name, a, b)
PYTHON
exit $((failures > 0))
