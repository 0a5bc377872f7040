#!/usr/bin/env bash
# A table of more numbers than full covariances are for is learned on the emulated device as on the CPU, but for rounding:
# its members are factor analysers, whose products are cuBLAS's. bash tests/simt/test_wide.sh PATH/TO/doppel_simt
. "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"

# 140 numbers of five factors and noise, in two clusters that a category names in part. Half of the rows lack a tenth of
# the numbers of a third of the columns.
python3 - <<'PYTHON' || exit 1
import random
random.seed(1)
columns, factors = 140, 5
loading = [[random.gauss(0, 1) for _ in range(factors)] for _ in range(columns)]
with open("wide.csv", "w") as file:
    print(*(f"n{c}" for c in range(columns)), "kind", sep=",", file=file)
    for row in range(600):
        cluster, x = row % 2, [random.gauss(0, 1) for _ in range(factors)]
        cells = (2 * cluster * (c % 2) + sum(map(float.__mul__, loading[c], x)) + random.gauss(0, 1) for c in range(columns))
        print(*("" if c % 3 == 0 and row % 4 < 2 and random.random() < 0.1 else f"{z:.4f}" for c, z in enumerate(cells)),
              "ab"[cluster] if row % 5 else "c", sep=",", file=file)
PYTHON

for backend in cpu cuda; do
  expect_status 0 "$doppel" fit wide.csv -o $backend.doppel --members 2 --backend $backend --threads 1
  expect_status 0 "$doppel" score $backend.doppel wide.csv -o $backend.csv --backend cpu
done
cmp -s cpu.doppel cuda.doppel && fail "the same bits: not of the device"
# Minus log densities of rows, some 100 nats: products are summed in another order, in single precision.
python3 - <<'PYTHON' || fail "models differ"
import csv, statistics
cpu, cuda = ([float(row["score"]) for row in csv.DictReader(open(f"{backend}.csv"))] for backend in ("cpu", "cuda"))
assert len(cpu) == 600 and all(50 < score < 200 for score in cpu)
assert abs(statistics.mean(cpu) - statistics.mean(cuda)) < 1e-3
for a, b in zip(cpu, cuda, strict=True):
    assert abs(a - b) < 0.02, (a, b)
PYTHON
exit $((failures > 0))
