#!/usr/bin/env bash
# doppel generate --where as a user runs it: every row meets the conditions, jobs are split, resumed and verified as any
# others, and what makes no sense is refused. bash tests/cli/test_where.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

{
  echo "id,age,Home city ,income,gain,since"
  for ((i = 0; i < 900; ++i)); do
    gain=0
    ((i % 3 == 0)) && gain=$((100 + i * i % 8009))
    ((i % 7 == 0)) && gain=
    echo "K$((10000 + 13 * i)),$((18 + i * i % 71)),c$((i * i % 5)),$([[ $((i % 4)) == 0 ]] && echo ">50K" || echo "<=50K"),$gain,2020-0$((1 + i % 9))-1$((i % 8))"
  done
} >data.csv
expect_status 0 "$doppel" fit data.csv -o m.doppel --model mixture
rows_where() { "$doppel" generate m.doppel --rows "$1" --seed 5 -o - -q --where "$2" | tail -n +2; }
# expect_rows CONDITIONS PROGRAM: awk's program prints the rows that do not meet them
expect_rows() {
  local rows
  rows=$(rows_where 5000 "$1") || fail "$1"
  [[ $(wc -l <<<"$rows") == 5000 ]] || fail "$1: not 5000 rows"
  [[ -z $(awk -F, "$2" <<<"$rows") ]] || fail "$1: rows that do not meet it: $(awk -F, "$2" <<<"$rows" | head -2)"
}
expect_rows "age>=60" '!($2 >= 60)'
expect_rows 'income=">50K" and "home city" in {c0, C4}' '$4 != ">50K" || ($3 != "c0" && $3 != "c4")'
expect_rows "gain is missing and age<30" '$5 != "" || $2 >= 30'
expect_rows "gain=0 and age!=40" '$5 != "0" || $2 == 40'
expect_rows "gain>3000 and age between 20 and 25" '!($5 > 3000 && $2 >= 20 && $2 <= 25)'
expect_rows "gain<=200" '$5 == "" || $5 > 200'
expect_rows "since>=2020-08-15 and age>80" '$6 < "2020-08-15" || $2 <= 80'
[[ $(rows_where 5000 "age>=60" | cut -d, -f1 | sort -u | wc -l) == 5000 ]] || fail "keys repeat"

# The same bytes however the job is run, kept in the manifest
generate=("$doppel" generate m.doppel --rows 60k --rows-per-file 20k --format csv --where "age>=60 and gain>0")
expect_status 0 "${generate[@]}" -o one --threads 1
expect_status 0 "${generate[@]}" -o two --threads 2 --memory 512M
cmp <(cat one/part-*) <(cat two/part-*) || fail "threads change bytes"
rm two/part-00001.csv
expect_status 0 "${generate[@]}" -o two --resume
cmp <(cat one/part-*) <(cat two/part-*) || fail "resuming changes bytes"
expect_status 0 "$doppel" verify one --recompute 100% --model m.doppel
expect_status 2 "$doppel" generate m.doppel --rows 60k --format csv -o one --resume
expect_error "differs in where"
expect_status 2 "$doppel" generate m.doppel --rows 60k --format csv -o one --resume --where "age>=61"
expect_error "differs in where"

# Plans
expect_status 0 "$doppel" generate m.doppel --rows 10 -o none --dry-run --where "age>=60" --json plan.json
grep -q '"where": "age>=60"' plan.json && grep -q '"where_probability": 0\.' plan.json || fail "the plan says nothing of conditions"
[[ ! -e none ]] || fail "--dry-run wrote"

# Refusals
expect_status 2 "$doppel" generate m.doppel --rows 10 -o x.csv --where "agee>60"
expect_error "--where: character 1: there is no column 'agee': did you mean 'age'"
expect_status 2 "$doppel" generate m.doppel --rows 10 -o x.csv --where ""
expect_error "a column is missing before the end"
expect_status 2 "$doppel" generate m.doppel --rows 10 -o x.csv --where "age>60 and age<50"
expect_error "cannot be so beside the conditions before"
expect_status 2 "$doppel" generate m.doppel --rows 10 -o x.csv --where "age>1000"
expect_error "no row meets them"
expect_status 2 "$doppel" generate m.doppel --rows 10 -o x.csv --where "id=K10000"
expect_error "is a key"

((failures == 0)) && echo "passed"
exit $((failures > 0))
