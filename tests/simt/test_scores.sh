#!/usr/bin/env bash
# Rows of real tables are scored on the emulated device as on the CPU, to the bit: with gaps, values never seen and columns
# that are not there, in pieces where memory is short, by several devices, and to an error where memory is too short.
# bash tests/simt/test_scores.sh PATH/TO/doppel_simt
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$(realpath "${DOPPEL_DATA:-$here/../../../shared/data}")
. "$here/../cli/expect.sh"
[[ -e $data/adult_train.csv.gz ]] || { echo 'no real tables: see tests/CMakeLists.txt'; exit 77; }

gzip -dc "$data/adult_train.csv.gz" | head -n 2001 >adult.csv
cp "$data/life_expectancy.csv" life.csv
for table in adult life; do expect_status 0 "$doppel" fit $table.csv -o $table.doppel --backend cpu -q; done

# Rows of which cells were blanked, replaced by what no model knows, or by another row's.
python3 - <<'PYTHON' || exit 1
import csv, random
for name, rows in ("adult", 300), ("life", 100):
    random.seed(1)
    header, *table = csv.reader(open(f"{name}.csv"))
    numbers = [c for c in range(len(header)) if all(row[c].replace(".", "").isdigit() for row in table[:50] if row[c])]
    made = random.sample(table, rows)
    for row in made:
        for c in range(len(header)):
            kind = random.random()
            if kind < 0.1: row[c] = ""
            elif kind < 0.15: row[c] = "1000000000" if c in numbers else "never seen"
            elif kind < 0.2: row[c] = random.choice(table)[c]
    with open(f"strange-{name}.csv", "w", newline="") as file: csv.writer(file).writerows([header, *made])
    with open(f"part-{name}.csv", "w", newline="") as file: csv.writer(file).writerows(row[::2] for row in [header, *made])
PYTHON

# score BACKEND MODEL DATA NAME: all scores, with all digits of numbers in NAME.json.
score() {
  expect_status 0 "$doppel" score "$2.doppel" "$3.csv" --backend "$1" --threads 1 --top 2000 --json "$4.json" -q
  grep -q "\"backend\": \"$1" "$4.json" || fail "$4: not on $1"
  python3 - "$4.json" <<'PYTHON' || fail "$4: no scores"
import json, sys
report = json.load(open(sys.argv[1]))
assert len(report["top"]) == min(report["rows"], 2000)
kept = {name: report[name] for name in ("rows", "score", "surprise", "top")}
json.dump(kept, open(sys.argv[1], "w"), indent=1)
PYTHON
}
head -n 201 life.csv >first-life.csv
for of_table in "adult adult" "adult strange-adult" "adult part-adult" "life first-life" "life strange-life" "life part-life"; do
  read -r model table <<<"$of_table"
  score cpu $model $table $table-cpu
  score cuda $model $table $table-cuda
  cmp $table-cpu.json $table-cuda.json || fail "$table: other scores"
done

# Less and less memory: smaller pieces, and at last an error.
EMULATED_CALLS=calls.txt score cuda adult strange-adult whole
pieces=0 too_short=0
for ((bytes = 1 << 20; too_short < 2; bytes = bytes * 3 / 4)); do
  status=0
  EMULATED_MEMORY=$bytes EMULATED_CALLS=more.txt "$doppel" score adult.doppel strange-adult.csv --backend cuda --threads 1 \
    -q -o short.csv >/dev/null 2>stderr.txt || status=$?
  if ((status == 0)); then
    [[ -e whole.csv ]] || cp short.csv whole.csv
    cmp -s whole.csv short.csv || fail "$bytes bytes: other scores"
    (($(<more.txt) <= $(<calls.txt))) || pieces=$((pieces + 1))
  else
    grep -q '^doppel: error: kernels/cuda.*out of memory.*--backend cpu' stderr.txt || fail "$bytes bytes: $(cat stderr.txt)"
    [[ ! -e short.csv ]] || fail "$bytes bytes: a file of a run that failed"
    too_short=$((too_short + 1))
  fi
  rm -f short.csv
done
((pieces > 1)) || fail "in pieces $pieces times"

# Each of three threads on another device.
EMULATED_DEVICES=3 expect_status 0 "$doppel" score adult.doppel adult.csv --backend cuda:all --threads 3 -q -o devices.csv
expect_status 0 "$doppel" score adult.doppel adult.csv --backend cpu -q -o cpu.csv
cmp cpu.csv devices.csv || fail "three devices: other scores"
exit $((failures > 0))
