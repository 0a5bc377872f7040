#!/usr/bin/env bash
# doppel fit, and that what comes back has the original's form: a made table and the real ones, where they are there.
# bash tests/cli/test_fit.sh PATH/TO/doppel
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
data=${DOPPEL_DATA:-$here/../../../shared/data}
[[ -d $data ]] && data=$(realpath "$data")
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cells() {  # cells FILE N: column N of a CSV without quotes
  tail -n +2 "$1" | cut -d, -f"$2"
}
expect_cells() {  # expect_cells FILE N PATTERN WHAT
  local odd
  odd=$(cells "$1" "$2" | grep -vE -m1 -- "$3") && fail "$4: '$odd' in column $2 of $1"
}

# A table of every kind: gaps, stray spaces in the header, decimals, dates, a key, a constant
{
  echo 'id, score ,price,level,joined,flag,one,rate'
  for ((i = 0; i < 500; ++i)); do
    printf 'K-%05d,%s,%d.%02d,%s,%d/%02d/20%02d,%s,same,%s\n' $((i * 37 % 100000)) \
      "$((i % 7 ? i * 13 % 90 : 0))" $((i % 40)) $((i * 7 % 100)) "$(printf 'low\nmid\nhigh' | sed -n $((i % 3 + 1))p)" \
      $((10 + i % 18)) $((1 + i % 12)) $((10 + i % 9)) "$( ((i % 2)) && echo yes || echo no)" "$( ((i % 5)) && echo $((i % 9)).5 || echo NA)"
  done
} >made.csv
expect_status 0 "$doppel" fit made.csv -o made.doppel --json fit.json --write-schema schema.json
expect_output '^column +kind'
expect_output '^500 rows'
for field in rows columns seconds stage_seconds model_bytes model_checksum schema cleaning versions peak_memory_bytes backend; do
  grep -q "\"$field\"" fit.json || fail "no $field in the JSON result"
done
expect_status 0 "$doppel" inspect made.doppel --json inspect.json
expect_output 'members tried.*nearer to rows fitted to'
grep -q '"nearer_to_training_share"' inspect.json || fail "inspect does not tell how near rows are to those fitted to"
expect_status 0 "$doppel" generate made.doppel --rows 2000 -o made_double.csv
cmp <(head -1 made.csv) <(head -1 made_double.csv) || fail "the header is not the original's"
expect_cells made_double.csv 1 '^[A-Z]-[0-9]{5}$' "keys keep their pattern"
[[ -z $(cells made_double.csv 1 | sort | uniq -d) ]] || fail "keys are not unique"
expect_cells made_double.csv 2 '^[0-9]+$' "integers stay integers"
expect_cells made_double.csv 3 '^[0-9]+\.[0-9]{2}$' "two decimals stay two"
expect_cells made_double.csv 4 '^(low|mid|high)$' "only levels that were seen"
expect_cells made_double.csv 5 '^[12][0-9]/[01][0-9]/20[0-9]{2}$' "dates keep their format"
expect_cells made_double.csv 6 '^(yes|no)$' "booleans keep their spelling"
expect_cells made_double.csv 7 '^same$' "a constant stays"
expect_cells made_double.csv 8 '^([0-9]\.5|NA|[0-9]\.[0-9])$' "gaps are written as in the original"
gaps=$(cells made_double.csv 8 | grep -c '^NA$')
((gaps > 250 && gaps < 550)) || fail "$gaps of 2000 cells are missing, not about 400"

# The same bytes again, from any number of threads; another model where the options differ
cp made.doppel again.doppel
expect_status 0 "$doppel" fit made.csv -o made.doppel --threads 2
cmp made.doppel again.doppel || fail "fit is not deterministic"
[[ -z $(ls -A | grep tmp) ]] || fail "temporary files stay"
expect_status 0 "$doppel" fit made.csv -o few.doppel --components 2
expect_status 0 "$doppel" inspect few.doppel --json -
grep -q '"explained_variance"' stdout.txt || fail "inspect tells of no explained variance"
expect_status 0 "$doppel" fit made.csv -o classic.doppel --space standardised --components 0.8

# Schema: what was written is taken back; an override changes a kind
expect_status 0 "$doppel" fit made.csv -o told.doppel --schema schema.json
cmp made.doppel told.doppel || fail "the inferred schema given back changes the model"
echo '{"columns": [{"name": " score ", "kind": "category"}]}' >told.json
expect_status 0 "$doppel" fit made.csv -o told.doppel --schema told.json
expect_output '^ score +category'
echo '{"columns": [{"name": "price", "kind": "colour"}]}' >bad.json
expect_status 3 "$doppel" fit made.csv -o x.doppel --schema bad.json
expect_error "bad.json: "
echo '{' >bad.json
expect_status 3 "$doppel" fit made.csv -o x.doppel --schema bad.json
expect_error "not JSON"

# Target: spaces and case do not matter; unknown ones name what there is
expect_status 0 "$doppel" fit made.csv -o t.doppel --target SCORE --json t.json
grep -q '"target": " score "' t.json || fail "the target is not the column's own name"
expect_status 2 "$doppel" fit made.csv -o x.doppel --target scor
expect_error "' score '"

# Wrong use and bad data: a clear line, the right status, no file
# Wrong use is found before files are looked at: the table need not even be there
expect_status 2 "$doppel" fit nothing.csv -o x.doppel --model gan
expect_error "none of"
for components in nine 0 -1 1.5 nan ''; do
  expect_status 2 "$doppel" fit nothing.csv -o x.doppel --components "$components"
  expect_error "--components '$components'"
done
expect_status 2 "$doppel" fit made.csv -o x.doppel --components 1000  # more than this table has
expect_error "latent dimensions"
expect_status 2 "$doppel" fit nothing.csv -o x.doppel --space latent
expect_status 2 "$doppel" fit made.csv -o .
expect_status 2 "$doppel" fit made.csv
expect_status 1 "$doppel" fit made.csv -o nowhere/x.doppel
expect_status 3 "$doppel" fit nothing.csv -o x.doppel
expect_error "nothing.csv: no such file"
: >empty.csv
expect_status 3 "$doppel" fit empty.csv -o x.doppel
echo 'a,b' >header.csv
expect_status 3 "$doppel" fit header.csv -o x.doppel
expect_error "no rows"
printf 'a,b\n1,2\n3\n' >ragged.csv
expect_status 3 "$doppel" fit ragged.csv -o x.doppel
expect_error "ragged.csv:3: expected 2 cells, found 1"
expect_status 3 "$doppel" fit made.doppel -o x.doppel
[[ ! -e x.doppel ]] || fail "a failed fit leaves a model"
expect_status 3 "$doppel" generate made.csv --rows 1 -o x.csv
expect_status 3 "$doppel" inspect made.csv

# Interruption: status 130 and no file; a second read of a large table is long enough to be hit
for ((i = 0; i < 400; ++i)); do tail -n +2 made.csv; done | cat made.csv - >large.csv
"$doppel" fit large.csv -o cut.doppel -q 2>stderr.txt &
sleep 0.05
kill -INT $! 2>/dev/null
wait $!
status=$?
if [[ $status == 130 ]]; then
  expect_error "doppel: interrupted: no result was written"
  [[ -z $(ls -A | grep -E 'cut|tmp') ]] || fail "an interrupted fit leaves files"
elif [[ $status != 0 ]]; then
  fail "interrupted fit: status $status"
fi

# Real tables: nothing but file names is given
check_real() {  # check_real FILE NAME TARGET
  local plain=$2.csv
  case $1 in *.gz) gzip -dc "$1" >"$plain" ;; *) cp "$1" "$plain" ;; esac
  expect_status 0 "$doppel" fit "$1" -o "$2.doppel" --target "$3"
  expect_status 0 "$doppel" generate "$2.doppel" --rows 20k -o "$2_double.csv"
  # Names to the byte; quotes and the kind of line end are CSV's
  cmp <(head -1 "$plain" | tr -d '\r"') <(head -1 "$2_double.csv") || fail "$2: the header is not the original's"
  expect_status 0 "$doppel" generate "$2.doppel" --rows 20k -o "$2_rows" --rows-per-file 7k
  expect_status 0 "$doppel" verify "$2_rows" --recompute 50% --model "$2.doppel"
  expect_status 0 "$doppel" inspect "$2_rows"
  expect_output '^complete'
  expect_status 0 "$doppel" evaluate --real "$1" --synthetic "$2_rows" --no-detection --min-quality 0.8
  expect_status 0 "$doppel" evaluate --real "$1" --synthetic "$2_double.csv" --target "$3" --no-detection
  expect_output "^utility: learning "
}
if [[ -e $data/life_expectancy.csv ]]; then
  check_real "$data/life_expectancy.csv" life "life expectancy"
  expect_cells life_double.csv 2 '^(20[01][0-9])$' "years stay years"
  expect_cells life_double.csv 4 '^[0-9]+(\.[0-9])?$|^$' "one decimal at most, as in the original"
  expect_cells life_double.csv 3 '^(Developing|Developed)$' "only levels that were seen"
else
  echo "skipped in part: no life_expectancy.csv in $data"
fi
[[ -e $data/adult_train.csv.gz ]] && check_real "$data/adult_train.csv.gz" adult income
[[ -e $data/diamonds.csv.gz ]] && check_real "$data/diamonds.csv.gz" diamonds price

((failures == 0)) && echo "passed"
exit $((failures > 0))
