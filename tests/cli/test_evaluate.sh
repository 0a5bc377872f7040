#!/usr/bin/env bash
# doppel evaluate as a user runs it: scores, JSON, the report and its command line, exit statuses.
# bash tests/cli/test_evaluate.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

table() {  # table SHIFT: 300 rows
  echo "age,</script> city,income"
  for ((i = 0; i < 300; ++i)); do echo "$((18 + (i * 7 + $1) % 60)),c$(((i + $1) % 5)),$((1000 + i * i % (977 - $1))).5"; done
}
table 0 >"real table.csv"
table 3 >double.csv
evaluate=("$doppel" evaluate --real "real table.csv" --synthetic double.csv --target age)

expect_status 0 "${evaluate[@]}" -o report.html --json scores.json
grep -q '^report: report.html$' stdout.txt || fail "the report is not named"
grep -q '"shape_score"' scores.json || fail "no JSON"
grep -qF "<code>doppel evaluate --real &apos;real table.csv&apos; --synthetic double.csv --target age -o report.html --json scores.json</code>" \
  report.html || fail "not the command as typed: $(grep -m1 '<code>doppel' report.html)"
[[ $(grep -c '</script> city' report.html) == 0 ]] || fail "a column's name is not escaped"
mv report.html first.html
expect_status 0 "${evaluate[@]}" -o report.html --json scores.json
cmp first.html report.html || fail "the same evaluation, another report"

# Privacy: held-out rows are beside the double, and copies do not pass the gate.
table 5 >holdout.csv
privacy=("$doppel" evaluate --real "real table.csv" --holdout holdout.csv --no-detection)
expect_status 0 "${privacy[@]}" --synthetic double.csv --json scores.json
expect_output '^nearer to training rows than to held-out ones \(300 of each\): '
expect_output 'held-out real rows score'
for key in nearer_to_training_share identical_rows_synthetic distance_to_nearest_training_row percentile_5 holdout_scores; do
  grep -q "\"$key\"" scores.json || fail "no $key in JSON"
done
expect_status 4 "${privacy[@]}" --synthetic "real table.csv" --max-nearer-share 0.6
expect_error 'above --max-nearer-share 0.6'
expect_output '^to synthetic rows  *300  100.00 %  *0.0000  *0.0000$'
expect_status 0 "${privacy[@]}" --synthetic holdout.csv --max-nearer-share 0.6
expect_status 2 "${evaluate[@]}" --max-nearer-share 0.6

expect_status 4 "${evaluate[@]}" --min-quality 1 --no-detection -o low.html
[[ -s low.html ]] || fail "no report below --min-quality"
expect_status 1 "${evaluate[@]}" --no-detection -o nowhere/report.html
expect_status 1 "${evaluate[@]}" --no-detection -o .
expect_status 2 "${evaluate[@]}" --target none
expect_status 3 "$doppel" evaluate --real missing.csv --synthetic double.csv
[[ $(ls -A | grep -c tmp) == 0 ]] || fail "temporary files stay"
exit $((failures > 0))
