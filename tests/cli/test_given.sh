#!/usr/bin/env bash
# doppel score, impute and generate --given of files larger than --memory, and --given into folders: the same bytes
# whatever the memory, threads, parts and kills; another file refused. bash tests/cli/test_given.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
data_of() { (cd "$1" && cat part-*); }
peak_of() { sed -n 's/.*"peak_memory_bytes": \([0-9]*\).*/\1/p' "$1"; }

{
  echo "id,kind,weight,price"
  for ((i = 0; i < 900; ++i)); do
    kind=$((i % 3)) weight=$((100 * (i % 3) + i * 7 % 83))
    ((i % 11 == 0)) && weight=
    echo "K$((10000 + 13 * i)),k$kind,$weight,$((300 * kind + i * 11 % 229)).5"
  done
} >data.csv
expect_status 0 "$doppel" fit data.csv -o m.doppel --members 4

# 2 million rows, which would take more than all the memory given (see below)
limit=112000000
expect_status 0 "$doppel" generate m.doppel --rows 2M -o big.csv
small=(--memory $limit --threads 2)
expect_status 0 "$doppel" score m.doppel big.csv "${small[@]}" --json score.json
expect_status 0 "$doppel" impute m.doppel big.csv -o filled.csv "${small[@]}" --json impute.json
cut -d, -f1,3 big.csv >given.csv
expect_status 0 "$doppel" generate m.doppel --given given.csv -o whole.csv "${small[@]}" --json given.json
for command in score impute given; do
  peak=$(peak_of $command.json)
  ((peak > 0 && peak < limit)) || fail "$command: $peak bytes of memory at a limit of $limit"
done
# As much memory as it takes: the same bytes
expect_status 0 "$doppel" impute m.doppel big.csv -o kept.csv --threads 1 --memory 4G --json kept.json
cmp filled.csv kept.csv || fail "memory changes what impute writes"
(($(peak_of kept.json) > limit)) || fail "the table fits into $limit bytes: this tests nothing"
expect_status 0 "$doppel" generate m.doppel --given given.csv -o kept.csv --overwrite --threads 1 --memory 4G
cmp whole.csv kept.csv || fail "memory changes what generate --given writes"
head -700001 big.csv >part.csv
for options in "--memory 112M --threads 2" "--memory 4G --threads 1"; do
  # shellcheck disable=SC2086
  "$doppel" score m.doppel part.csv $options -o "scores${options//[^0-9]/}.csv" --json "scores${options//[^0-9]/}.json" --top 5 -q || fail "score $options"
done
cmp scores1122.csv scores41.csv || fail "memory changes scores"
results() { grep -vE '"(output|seconds|rows_per_s|peak_memory_bytes)"' "$1"; }
cmp <(results scores1122.json) <(results scores41.json) || fail "memory changes the summary of scores"
rm -f big.csv filled.csv kept.csv part.csv scores*.csv

expect_status 2 "$doppel" score m.doppel data.csv --top 100000 --memory 112M
expect_error "more rows than fit into a quarter of --memory"

# Into a folder, from a file that 112 MB do not keep, and from the same compressed
head -700001 given.csv >rows.csv
head -700001 whole.csv >expected.csv
generate=("$doppel" generate m.doppel --given rows.csv --rows-per-file 80k --format csv)
expect_status 0 "${generate[@]}" -o one --threads 1
whole_of() { head -1 "$1/part-00000.csv"; for part in "$1"/part-*; do tail -n +2 "$part"; done; }
cmp expected.csv <(whole_of one) || fail "rows differ from those of one file"
[[ $(ls one | grep -c part-) == 9 ]] || fail "files: $(ls one)"
grep -q '"given":"rows.csv","given_checksum":"[0-9a-f]\{32\}"' one/manifest.jsonl || fail "manifest: $(head -1 one/manifest.jsonl)"
gzip -k rows.csv
expect_status 0 "$doppel" generate m.doppel --given rows.csv.gz -o zipped.csv --memory 112M
cmp expected.csv zipped.csv || fail "a compressed file gives other rows"
for part in 3 1 2; do expect_status 0 "${generate[@]}" -o parts --parts 3 --part $part --memory 112M; done
cmp <(data_of one) <(data_of parts) || fail "parts change bytes"

# Typed files, whose rows are read in batches
for extension in parquet arrow; do
  expect_status 0 "$doppel" generate m.doppel --rows 1M -o typed.$extension
  for memory in 256M 4G; do
    expect_status 0 "$doppel" impute m.doppel typed.$extension -o $memory.csv --memory $memory --threads 2 --json impute.json
    "$doppel" generate m.doppel --given typed.$extension --rows 1.2M -o - --memory $memory --threads 2 -q >>$memory.csv || fail "--given typed.$extension"
    [[ $memory == 4G ]] || (($(peak_of impute.json) < 256 << 20)) || fail "$extension: $(peak_of impute.json) bytes of memory"
  done
  cmp 256M.csv 4G.csv || fail "memory changes rows given by typed.$extension"
  rm typed.$extension 256M.csv 4G.csv
done

# More rows than are given: they start again
expect_status 0 "${generate[@]}" --rows 1.5M -o cycled --memory 112M
cmp <(data_of one | head -600000) <(data_of cycled | head -600000) || fail "fewer rows are not a prefix"
cmp <(whole_of cycled | tail -n +2 | cut -d, -f1,3 | sed -n '700001,1400000p') <(tail -n +2 rows.csv) || fail "rows given do not start again"

# Verified, and made again from the middle of the file
expect_status 0 "$doppel" verify one
expect_status 0 "$doppel" inspect one
expect_output "^columns given by rows.csv \(checksum [0-9a-f]{32}\)$"
expect_status 0 "$doppel" verify cycled --recompute 30% --model m.doppel --given rows.csv --memory 112M
expect_status 0 "$doppel" verify parts --recompute 100% --model m.doppel --given rows.csv
expect_status 2 "$doppel" verify one --recompute 30% --model m.doppel
expect_error "give --given rows.csv"
sed '650000s/^./L/' rows.csv >other.csv
expect_status 2 "$doppel" verify one --recompute 30% --model m.doppel --given other.csv
expect_error "is not the file that gave columns of 'one' (rows.csv, checksum "
expect_status 0 "$doppel" generate m.doppel --rows 100 -o free
expect_status 2 "$doppel" verify free --recompute 100% --model m.doppel --given rows.csv
expect_error "was not made from rows given"
sed 's/K/L/' one/part-00005.csv >changed && mv changed one/part-00005.csv
expect_status 4 "$doppel" verify one
expect_status 0 "${generate[@]}" -o one --overwrite

# Resumed: the same file by any name, no other
cp rows.csv same.csv
rm one/part-00004.csv one/part-00007.csv
expect_status 2 "$doppel" generate m.doppel --given other.csv --rows-per-file 80k --format csv -o one --resume
expect_error "differs in the checksum of the rows given"
expect_status 2 "$doppel" generate m.doppel --rows 700k --rows-per-file 80k --format csv -o one --resume
expect_error "differs in the checksum of the rows given"
expect_status 0 "$doppel" generate m.doppel --given same.csv --rows-per-file 80k --format csv -o one --resume --memory 112M
cmp expected.csv <(whole_of one) || fail "resuming changes bytes"
# Killed at instants spread over the time that the whole job takes
start=$(date +%s%N)
expect_status 0 "${generate[@]}" --rows 1M -o unbroken --memory 112M
took=$(( ($(date +%s%N) - start) / 1000000 ))
killed=0
for ((i = 1; i <= 8; ++i)); do
  "${generate[@]}" --rows 1M -o killed --resume -q --memory 112M 2>/dev/null &
  sleep "$(printf '%d.%03d' $((took * i / 9 / 1000)) $((took * i / 9 % 1000)))"
  kill -KILL $! 2>/dev/null
  wait $! 2>/dev/null
  [[ $? == 137 ]] && killed=$((killed + 1))
  ((i % 2 == 0)) || continue
  expect_status 0 "${generate[@]}" --rows 1M -o killed --resume --memory 112M
  diff -r unbroken killed || fail "resumed after kill $i: not the same folder"
  rm -r killed
done
((killed > 0)) || fail "no run was killed before its end"

# Interrupted while rows are read: status 130, whole files only
"${generate[@]}" --rows 2e8 -o long -q --memory 112M 2>stderr.txt &
sleep 2
kill -INT $!
wait $!
[[ $? == 130 ]] || fail "interrupted: not status 130"
expect_error "--resume goes on"
[[ -z $(ls -A long | grep tmp) ]] || fail "temporary files stay after an interruption"

# Files with nothing to give
head -1 rows.csv >header.csv
: >empty.csv
for file in header.csv empty.csv none.csv; do
  expect_status 3 "$doppel" generate m.doppel --given $file -o nothing
  expect_status 3 "$doppel" impute m.doppel $file -o nothing.csv
  expect_status 3 "$doppel" score m.doppel $file
done
[[ ! -e nothing && ! -e nothing.csv ]] || fail "something was written from nothing"
sed '$s/,[^,]*$/,many/' rows.csv >bad.csv
expect_status 3 "$doppel" generate m.doppel --given bad.csv -o nothing --memory 112M
expect_error "bad.csv:700001:2: 'many' is not a whole number (column 'weight')"
[[ ! -e nothing ]] || fail "something was written from a bad file"
((failures == 0)) && echo "passed"
exit $((failures > 0))
