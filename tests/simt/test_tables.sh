#!/usr/bin/env bash
# Real tables on the emulated device, whole commands: models, rows and scores are the CPU's to the byte.
# bash tests/simt/test_tables.sh PATH/TO/doppel_simt
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$(realpath "${DOPPEL_DATA:-$here/../../../shared/data}")
. "$here/../cli/expect.sh"
[[ -e $data/adult_train.csv.gz ]] || { echo 'no real tables: see tests/CMakeLists.txt'; exit 77; }

gzip -dc "$data/adult_train.csv.gz" | head -n 2001 >adult.csv
gzip -dc "$data/diamonds.csv.gz" | head -n 2001 >diamonds.csv
cp "$data/life_expectancy.csv" life.csv

both() {  # both NAME.EXTENSION COMMAND...: to NAME-cpu.EXTENSION and NAME-cuda.EXTENSION, which are the same
  local name=${1%.*} extension=${1##*.}
  shift
  expect_status 0 "$doppel" "$@" -o "$name-cpu.$extension" --backend cpu -q
  expect_status 0 "$doppel" "$@" -o "$name-cuda.$extension" --backend cuda --threads 1 -q
  cmp "$name-cpu.$extension" "$name-cuda.$extension" || fail "$name.$extension differs"
}

declare -A options=([diamonds]='--members 48' [life]='--members 48')  # adult's number is found by trials
for table in adult diamonds life; do
  for model in mixture pca; do
    both $table-$model.doppel fit $table.csv --model $model ${options[$table]:-}
    both $table-$model.csv generate $table-$model-cpu.doppel --rows 2000 --seed 3
  done
done
# Rows under conditions: of one bound, of several, and beside states and gaps.
both adult-where.csv generate adult-mixture-cpu.doppel --rows 2000 --seed 3 --where "age>=60"
both adult-ranges.csv generate adult-mixture-cpu.doppel --rows 2000 --seed 3 \
  --where "age>=60 and hours-per-week between 10 and 30 and fnlwgt<200000 and workclass is present"
both diamonds-where.csv generate diamonds-mixture-cpu.doppel --rows 2000 --seed 3 --where "carat>1 and price<6000 and cut!=Fair"
both life-where.csv generate life-mixture-cpu.doppel --rows 500 --seed 3 \
  --where "'Life expectancy'>75 and Alcohol is present and Schooling<14"
# More numbers than a device waits for: their places in a column are found there.
python3 - >long.csv <<'PYTHON'
import random
random.seed(1)
print("a,b")
for row in range(6000):
    a = random.gauss(0, 1)
    print(f"{a!r},{a + random.gauss(0, 1)!r}" if row % 9 else f",{a!r}")
PYTHON
EMULATED_CALLS=calls.txt both long.doppel fit long.csv --members 8
(($(<calls.txt) > 20)) || fail "only $(<calls.txt) calls of CUDA"
both strange.csv score adult-mixture-cpu.doppel adult.csv

# Evaluations are the CPU's to the bit but for correlations, whose sums are cuBLAS's.
for backend in cpu cuda; do
  expect_status 0 "$doppel" evaluate --real adult.csv --synthetic adult-mixture-cpu.csv --holdout adult-pca-cpu.csv \
    --backend $backend --threads 1 -q --json evaluation-$backend.json
  grep -q "\"backend\": \"$backend" evaluation-$backend.json || fail "not on $backend"
done
python3 - <<'PYTHON' || fail "evaluations differ"
import json
def figures(path):
    return {name: value for name, value in json.load(open(path)).items()
            if name not in ("backend", "peak_memory_bytes") and not name.endswith("seconds")}
def compare(a, b, path):
    if isinstance(a, dict):
        assert list(a) == list(b), path
        for name in a: compare(a[name], b[name], path + [name])
    elif isinstance(a, list):
        assert len(a) == len(b), path
        for i in range(len(a)): compare(a[i], b[i], path + [i])
    elif {"correlations", "correlation_real", "correlation_synthetic", "trend_score", "trends", "overall"} & set(path):
        assert a == b or abs(a - b) < 1e-12, (path, a, b)
    else:
        assert a == b, (path, a, b)
compare(figures("evaluation-cpu.json"), figures("evaluation-cuda.json"), [])
PYTHON
exit $((failures > 0))
