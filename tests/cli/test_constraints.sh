#!/usr/bin/env bash
# doppel fit --constraint as a user runs it: every row generated holds the constraints, whatever the job, and what makes
# no sense is refused. bash tests/cli/test_constraints.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

{
  echo "id,start,end day,city,country,since,until"
  cities=(Bern Basel Rome Milan Ulm)
  countries=(CH CH IT IT DE)
  for ((i = 0; i < 900; ++i)); do
    place=$((i * i % 5)) start=$((i * 37 % 500))
    end=$((start + i * i % 83))
    ((i % 13 == 0)) && end=
    echo "K$((10000 + 13 * i)),$start,$end,${cities[place]},${countries[place]},2020-0$((1 + i % 5))-1$((i % 8)),2020-0$((1 + i % 5 + i % 3))-2$((i % 8))"
  done
} >data.csv
constraints=(--constraint "start<='end day'" --constraint "until>since" --constraint "fixed {city, country}")
# Rows of standard input that break one
broken() {
  awk -F, 'BEGIN { split("Bern CH Basel CH Rome IT Milan IT Ulm DE", list, " "); for (i = 1; i < 10; i += 2) of[list[i]] = list[i + 1] }
           ($3 != "" && $2 + 0 > $3 + 0) || $6 >= $7 || of[$4] != $5'
}

expect_status 0 "$doppel" fit data.csv -o free.doppel --model pca --json hints.json
expect_output "^hint: start<='end day' holds in all 830 rows: --constraint \"start<='end day'\" keeps it so$"
expect_output "^hint: one of \{city, country\} decides the other in all 900 rows: --constraint \"fixed \{city, country\}\" keeps"
grep -q '"constraint": "fixed {city, country}"' hints.json || fail "the report has no hints"

for model in pca mixture; do
  expect_status 0 "$doppel" fit data.csv -o free.doppel --model "$model"
  [[ -n $("$doppel" generate free.doppel --rows 20k -o - -q | tail -n +2 | broken) ]] || fail "$model: nothing to hold"
  expect_status 0 "$doppel" fit data.csv -o $model.doppel --model "$model" "${constraints[@]}" --json fit.json
  expect_error "% of the model's rows hold them"
  grep -q '"start<=.end day."' fit.json && grep -q '"constraint_acceptance": 0\.' fit.json || fail "the report says nothing"
  rows=$("$doppel" generate $model.doppel --rows 20k -o - -q | tail -n +2) || fail "generate"
  [[ $(wc -l <<<"$rows") == 20000 ]] || fail "$model: not 20,000 rows"
  [[ -z $(broken <<<"$rows") ]] || fail "$model: rows break the constraints: $(broken <<<"$rows" | head -2)"
  [[ $(cut -d, -f1 <<<"$rows" | sort -u | wc -l) == 20000 ]] || fail "keys repeat"
done
expect_status 0 "$doppel" inspect mixture.doppel
expect_output "^constraint fixed \{city, country\}$"

# Under conditions, too
rows=$("$doppel" generate mixture.doppel --rows 5000 -o - -q --where "start>=450 and country!=DE" | tail -n +2) || fail "--where"
[[ $(wc -l <<<"$rows") == 5000 && -z $(broken <<<"$rows") ]] || fail "--where: rows break the constraints"
[[ -z $(awk -F, '$2 < 450 || $5 == "DE"' <<<"$rows") ]] || fail "--where: rows do not meet the conditions"
expect_status 2 "$doppel" generate mixture.doppel --rows 10 -o x.csv --where "start>450 and 'end day'<20"
expect_error "hardly one holds the model's constraints"

# With rows given, and in gaps
cut -d, -f1,2,4 data.csv >given.csv
expect_status 0 "$doppel" generate mixture.doppel --given given.csv -o whole.csv
[[ $(wc -l <whole.csv) == 901 && -z $(tail -n +2 whole.csv | broken) ]] || fail "--given: rows break the constraints"
cmp <(cut -d, -f1,2,4 whole.csv) given.csv || fail "--given: what is given changed"
printf 'start,end day\n3,5\n9,8\n' >bad.csv
expect_status 3 "$doppel" generate mixture.doppel --given bad.csv -o x.csv
expect_error 'bad.csv:3:1: row 2 breaks the model'"'"'s constraint "start<='
printf 'start,end day\n3,5\n99999,\n' >bad.csv
expect_status 0 "$doppel" generate mixture.doppel --given bad.csv -o x.csv
printf 'start\n3\n99999\n' >bad.csv
"$doppel" generate mixture.doppel --given bad.csv -o y.csv -q 2>stderr.txt
[[ $? == 0 ]] || expect_error "bad.csv: row 2 (the first is row 1): none of 16384 draws"
rm -f x.csv y.csv
expect_status 0 "$doppel" impute mixture.doppel data.csv -o filled.csv
[[ -z $(tail -n +2 filled.csv | broken) ]] || fail "impute: rows break the constraints"

# The same bytes however the job is run
generate=("$doppel" generate mixture.doppel --rows 60k --rows-per-file 20001 --format csv)
expect_status 0 "${generate[@]}" -o one --threads 1
expect_status 0 "${generate[@]}" -o two --threads 2 --memory 256M
cmp <(cat one/part-*) <(cat two/part-*) || fail "threads change bytes"
rm two/part-00001.csv
expect_status 0 "${generate[@]}" -o two --resume
cmp <(cat one/part-*) <(cat two/part-*) || fail "resuming changes bytes"
expect_status 0 "$doppel" verify one --recompute 100% --model mixture.doppel

# Refusals
expect_status 2 "$doppel" fit data.csv -o x.doppel --constraint "begin<=start"
expect_error "--constraint: character 1: there is no column 'begin'"
expect_status 2 "$doppel" fit data.csv -o x.doppel --constraint "start<=end day"
expect_error "put in quotes"
expect_status 2 "$doppel" fit data.csv -o x.doppel --constraint "city<=country"
expect_error "of kind category: only numbers and dates have an order"
expect_status 3 "$doppel" fit data.csv -o x.doppel --constraint "start>='end day'"
expect_error "data.csv:3:3: row 2 is the first of 8"
expect_error 'rows that break --constraint "'
[[ ! -e x.doppel ]] || fail "a model was written"

((failures == 0)) && echo "passed"
exit $((failures > 0))
