#!/usr/bin/env bash
# doppel score, impute and generate --given as a user runs them: strange rows found with their causes, gaps filled and nothing else changed,
# the same bytes from any number of threads, exit statuses. bash tests/cli/test_density.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

# Prices follow weights and kinds; colours follow kinds.
{
  echo "kind,colour,weight,price"
  for ((i = 0; i < 900; ++i)); do
    kind=$((i % 3)); weight=$((100 * kind + i * 7 % 83))
    echo "k$kind,c$((kind + i / 3 % 2)),$weight,$((3 * weight + i * 11 % 29)).5"
  done
} >data.csv
expect_status 0 "$doppel" fit data.csv -o m.doppel --model mixture
expect_status 0 "$doppel" fit data.csv -o pca.doppel --model pca

# A combination that never occurs, a price of another weight, a level never seen
{ cat data.csv; echo "k0,c3,40,130.5"; echo "k1,c1,120,900.5"; echo "k9,c2,250,760.5"; } >new.csv
expect_status 0 "$doppel" score m.doppel new.csv -o scores.csv --top 3 --by surprise --json summary.json
expect_output '^ *90[123] '
for row in 901 902 903; do grep -q "\"row\": $row" summary.json || fail "row $row is not among the strangest"; done
sed -n 903p scores.csv | grep -qE '^902,[0-9.]+,[0-9.]+,(price|weight),' || fail "cause of row 902: $(sed -n 903p scores.csv)"
sed -n 904p scores.csv | grep -qE '^903,[0-9.]+,[0-9.]+,kind,' || fail "cause of row 903: $(sed -n 904p scores.csv)"
[[ $(wc -l <scores.csv) == 904 ]] || fail "rows of scores"
[[ $(head -1 scores.csv) == row,score,surprise,cause_1,cause_2,cause_3,contribution.kind,contribution.colour,contribution.weight,contribution.price ]] || fail "columns of scores: $(head -1 scores.csv)"
"$doppel" score m.doppel new.csv -o - -q --threads 1 | cmp - scores.csv || fail "threads or standard output change scores"
cut -d, -f2,4 new.csv >part.csv
expect_status 0 "$doppel" score m.doppel part.csv
expect_status 2 "$doppel" score m.doppel new.csv -o scores.csv
expect_error "--overwrite replaces it"
expect_status 2 "$doppel" score m.doppel new.csv -o scores
expect_error "give --format"
expect_status 2 "$doppel" score pca.doppel new.csv
expect_error "fit one with --model mixture"
expect_status 3 "$doppel" score m.doppel none.csv
echo "a,b" >other.csv
expect_status 3 "$doppel" score m.doppel other.csv
sed 's/^k1,c1,107,/k1,c1,many,/' data.csv >bad.csv
cmp -s data.csv bad.csv && fail "nothing is bad in bad.csv"
expect_status 3 "$doppel" score m.doppel bad.csv
expect_error "'many' is not a whole number (column 'weight')"

# Gaps: one cell of every third row
awk -F, -v OFS=, 'NR > 1 && NR % 3 == 0 { $(NR / 3 % 4 + 1) = "" } { print }' new.csv >gaps.csv
for how in draw mean; do
  expect_status 0 "$doppel" impute m.doppel gaps.csv -o $how.csv --how $how
  paste -d'|' gaps.csv $how.csv | awk -F'|' '{ split($1, a, ","); split($2, b, ",")
    for (i = 1; i <= 4; ++i) if (b[i] == "" || (a[i] != "" && a[i] != b[i])) exit 1 }' || fail "$how: a cell changed, or a gap is left"
done
"$doppel" impute m.doppel gaps.csv -o - -q --threads 1 | cmp - draw.csv || fail "threads change draws"
"$doppel" impute m.doppel gaps.csv -o - -q --seed 1 | cmp -s - draw.csv && fail "seeds draw the same"
expect_status 0 "$doppel" impute m.doppel gaps.csv -o draw.parquet --json filled.json
grep -q '"filled_cells": 301' filled.json || fail "cells filled: $(grep filled_cells filled.json)"
expect_status 2 "$doppel" impute m.doppel gaps.csv
expect_status 2 "$doppel" impute pca.doppel gaps.csv -o no.csv
expect_status 2 "$doppel" impute m.doppel gaps.csv -o no.csv --how guess
# Columns given stay as they are, rows cycle, others are drawn for them
cut -d, -f1,4 new.csv >given.csv
expect_status 0 "$doppel" generate m.doppel --given given.csv -o whole.csv
cmp <(cut -d, -f1,4 whole.csv) given.csv || fail "given columns changed"
awk -F, 'NR > 1 && NR < 902 { d = 3 * $3 - $4; if (d < -90 || d > 60) ++far } END { exit far > 20 }' whole.csv || fail "weights drawn do not follow prices given"
expect_status 0 "$doppel" generate m.doppel --given given.csv --rows 2000 -o cycled.csv --threads 1
cmp whole.csv <(head -904 cycled.csv) || fail "fewer rows are not a prefix"
[[ $(sed -n 905p cycled.csv | cut -d, -f1,4) == $(sed -n 2p given.csv) ]] || fail "rows given do not start again"
expect_status 2 "$doppel" generate pca.doppel --given given.csv -o no.csv
expect_status 2 "$doppel" generate m.doppel -o no.csv
expect_error "--rows"
((failures == 0)) && echo "passed"
exit $((failures > 0))
