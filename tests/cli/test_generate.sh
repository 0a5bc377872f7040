#!/usr/bin/env bash
# doppel generate and verify as a user runs them: the same bytes however the job is run, kills and interruptions, exit
# statuses, standard output. bash tests/cli/test_generate.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
data_of() { (cd "$1" && cat part-*); }

{
  echo "age,city,income"
  for ((i = 0; i < 400; ++i)); do echo "$((18 + i * 7 % 60)),c$((i % 5)),$((1000 + i * i % 977)).5"; done
} >data.csv
expect_status 0 "$doppel" fit data.csv -o m.doppel
generate=("$doppel" generate m.doppel --seed 7 --rows-per-file 30k --format csv)

# The same bytes from any number of threads, memory and parts
expect_status 0 "${generate[@]}" --rows 200k -o one --threads 1
expect_status 0 "${generate[@]}" --rows 200k -o two --threads 2 --memory 512M
expect_status 0 "${generate[@]}" --rows 200k -o parts --parts 3 --part 3
expect_status 0 "${generate[@]}" --rows 200k -o parts --parts 3 --part 1
expect_status 4 "$doppel" verify parts
expect_status 0 "${generate[@]}" --rows 200k -o parts --parts 3 --part 2
cmp <(data_of one) <(data_of two) || fail "threads change bytes"
cmp <(data_of one) <(data_of parts) || fail "parts change bytes"
[[ $(ls one) == $(ls two) && $(ls one/part-*) == $(cd parts && ls part-* | sed 's|^|one/|') ]] || fail "names differ"

# One file, standard output, an earlier prefix: the same rows
expect_status 0 "$doppel" generate m.doppel --seed 7 --rows 200k -o all.csv
"$doppel" generate m.doppel --seed 7 --rows 200k -o - -q >stream.csv || fail "standard output"
cmp all.csv stream.csv || fail "standard output differs from a file"
cmp all.csv <(head -1 one/part-00000.csv; for part in one/part-*; do tail -n +2 "$part"; done) || fail "rows differ from the folder's"
"$doppel" generate m.doppel --seed 7 --rows 1000 -o - -q | cmp - <(head -1001 all.csv) || fail "fewer rows are not a prefix"
[[ $(ls -A | grep -c tmp) == 0 ]] || fail "temporary files stay"

# Verification
expect_status 0 "$doppel" verify one
expect_status 0 "$doppel" verify parts --recompute 100% --model m.doppel
expect_status 2 "$doppel" verify one --recompute 0% --model m.doppel
cp -r one bad
printf 'x' | dd of=bad/part-00002.csv bs=1 seek=5000 conv=notrunc status=none
expect_status 4 "$doppel" verify bad
expect_error "corrupt: part-00002.csv"
rm bad/part-00001.csv
expect_status 4 "$doppel" verify bad
expect_error "missing: part-00001.csv"

# Resuming
expect_status 2 "${generate[@]}" --rows 200k -o one
expect_error "--resume completes it, --overwrite starts anew"
expect_status 2 "$doppel" generate m.doppel --seed 8 --rows 200k --format csv -o one --resume
expect_error "differs in seed (7, now 8)"
# Killed 20 times, at instants spread over the time that the whole job takes: the same bytes after --resume
rows=1M
start=$(date +%s%N)
expect_status 0 "${generate[@]}" --rows $rows -o whole
took=$(( ($(date +%s%N) - start) / 1000000 ))
killed=0
for ((i = 1; i <= 20; ++i)); do
  "${generate[@]}" --rows $rows -o killed --resume -q 2>/dev/null &
  sleep "$(printf '%d.%03d' $((took * (i * 8 % 21) / 21 / 1000)) $((took * (i * 8 % 21) / 21 % 1000)))"
  kill -KILL $! 2>/dev/null
  wait $! 2>/dev/null
  [[ $? == 137 ]] && killed=$((killed + 1))
  ((i % 2 == 0)) || continue
  expect_status 0 "${generate[@]}" --rows $rows -o killed --resume
  diff -r whole killed || fail "resumed after kill $i: not the same folder"
  rm -r killed
done
((killed > 0)) || fail "no run was killed before its end"
rm -r whole

# Interruption: status 130, whole files only, then resumable
"${generate[@]}" --rows 2e9 -o long -q 2>stderr.txt &
sleep 1
kill -INT $!
wait $!
[[ $? == 130 ]] || fail "interrupted: not status 130"
expect_error "doppel: interrupted: "
expect_error "--resume goes on"
[[ -z $(ls -A long | grep tmp) ]] || fail "temporary files stay after an interruption"
listed=$(tail -n +2 long/manifest.jsonl | wc -l)
[[ $listed == $(ls long | grep -c part-) ]] || fail "manifest and files differ after an interruption"
rm -r long

# Trouble with the output
"$doppel" generate m.doppel --rows 1e7 -o - 2>stderr.txt | head -1 >/dev/null
[[ ${PIPESTATUS[0]} == 1 ]] || fail "closed pipe: not status 1"
expect_error "Broken pipe"
expect_status 1 bash -c '"$0" generate m.doppel --rows 1e6 -o - >/dev/full' "$doppel"
expect_error "No space left on device"
expect_status 1 "$doppel" generate m.doppel --rows 10 -o data.csv/rows --format csv
expect_status 1 bash -c 'ulimit -f 100; "$0" generate m.doppel --rows 1e6 --format csv -o limited' "$doppel"
expect_error "raise the limit on file sizes"
[[ $(ls -A limited) == manifest.jsonl ]] || fail "a partial file stays"
# A full disk and one that may not be written to, where a small one can be mounted
mkdir small
if mount -t tmpfs -o size=8m none small 2>/dev/null; then
  trap 'umount small 2>/dev/null; rm -rf "$work"' EXIT
  expect_status 1 "${generate[@]}" --rows 2M -o small/rows
  expect_error "No space left on device"
  [[ -z $(ls -A small/rows | grep tmp) ]] || fail "a partial file stays on a full disk"
  expect_status 4 "$doppel" verify small/rows
  if grep -q corrupt stderr.txt; then fail "a full disk leaves a damaged file"; fi
  mount -o remount,size=200m small
  expect_status 0 "${generate[@]}" --rows 2M -o small/rows --resume
  expect_status 0 "$doppel" verify small/rows
  expect_status 0 "${generate[@]}" --rows 2M -o roomy
  diff -r roomy small/rows || fail "resumed after a full disk: not the same folder"
  rm -r roomy
  mount -o remount,size=200m,ro small
  expect_status 1 "$doppel" generate m.doppel --rows 10 -o small/more
  expect_error "Read-only file system"
  expect_status 1 "$doppel" generate m.doppel --rows 10 -o small/more.csv
  expect_status 1 "$doppel" fit data.csv -o small/m.doppel
  umount small
else
  echo "skipped in part: no small file system can be mounted here"
fi
if ((EUID != 0)); then
  mkdir closed && chmod 555 closed
  expect_status 1 "$doppel" generate m.doppel --rows 10 -o closed/rows
  expect_error "Permission denied"
  expect_status 1 "$doppel" generate m.doppel --rows 10 -o closed/rows.csv
  chmod 755 closed
fi

# A folder that is deleted while it is written
"${generate[@]}" --rows 2e9 -o gone -q 2>stderr.txt &
until compgen -G 'gone/part-*' >/dev/null; do sleep 0.05; done
until rm -rf gone 2>/dev/null; do :; done
wait $!
[[ $? == 1 ]] || fail "deleted folder: not status 1"
expect_error "doppel: error: cannot "
rm -rf gone

expect_status 2 "$doppel" generate m.doppel --rows 10 --memory 1M -o little
expect_error "give at least --memory"
expect_status 3 "$doppel" generate nothing.doppel --rows 10 -o x
expect_status 2 "$doppel" generate m.doppel --rows 10 -o x.csv --format parquet
expect_status 2 "$doppel" generate m.doppel --rows 10 -o x --parts 2

expect_status 0 "$doppel" fit data.csv -o pca.doppel --model pca
expect_status 2 "$doppel" generate pca.doppel --rows 10 -o x.csv --where "age>=60"
expect_error "fit one with --model mixture"

# Other uses
expect_status 0 "$doppel" generate m.doppel --rows 1M --sink null --json result.json
grep -q '"rows": 1000000' result.json || fail "no rows in the JSON result"
expect_status 0 "$doppel" generate m.doppel --rows 1e12 -o nothing --dry-run
[[ ! -e nothing ]] || fail "--dry-run wrote"
expect_status 0 "$doppel" generate m.doppel --rows 0 -o none.csv
cmp none.csv <(head -1 all.csv) || fail "no rows are not a header"

((failures == 0)) && echo "passed"
exit $((failures > 0))
