#!/usr/bin/env bash
# A table of more numbers than full covariances are for is learned on the emulated device as on the CPU, but for rounding:
# its members are factor analysers, whose products are cuBLAS's. So are its rows scored.
# bash tests/simt/test_wide.sh PATH/TO/doppel_simt
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

# By one model: all that scores say of rows, and of rows with a few or many more gaps.
python3 - <<'PYTHON' || exit 1
import csv, random
random.seed(2)
header, *table = csv.reader(open("wide.csv"))
with open("gappy.csv", "w", newline="") as file:
    shares = 0, 0.02, 0.5, 0.9, 1
    # Not of the category: by rounding alone a gap that it never has costs more or less than the numbers' gaps.
    gappy = ([*("" if random.random() < shares[i % 5] else z for z in row[:-1]), row[-1]] for i, row in enumerate(table[:200]))
    csv.writer(file).writerows([header, *gappy])
PYTHON
for table in wide gappy; do
  for backend in cpu cuda; do
    expect_status 0 "$doppel" score cpu.doppel $table.csv --backend $backend --threads 1 --top 600 --json $table-$backend.json -q
  done
  python3 - $table <<'PYTHON' || fail "$table: scores differ"
import json, sys
cpu, cuda = (json.load(open(f"{sys.argv[1]}-{backend}.json")) for backend in ("cpu", "cuda"))
assert cpu["backend"].startswith("cpu") and cuda["backend"].startswith("cuda")
def compare(a, b, where):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a: compare(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b)
        for i, (x, y) in enumerate(zip(a, b)): compare(x, y, f"{where}[{i}]")
    elif isinstance(a, float):
        assert abs(a - b) <= 1e-9 * (1 + abs(a)), (where, a, b)
    else:
        assert a == b, (where, a, b)
parts = "rows", "score", "surprise", "top"
for part in parts: compare(cpu[part], cuda[part], part)
assert len(cpu["top"]) == cpu["rows"]
assert any(cpu[part] != cuda[part] for part in parts), "the same bits: not of the device"
PYTHON
done
exit $((failures > 0))
