#!/usr/bin/env bash
# doppel evaluate of images as a user runs it: figures, JSON, gates, every form that generate writes, wrong usage.
# bash tests/cli/test_evaluate_images.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/bars.sh"
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
export OMP_NUM_THREADS=1

bars train 240 1
bars test 120 2
train=train-images-idx3-ubyte test=test-images-idx3-ubyte
expect_status 0 "$doppel" fit $train -o cnn.doppel --model cnn --epochs 3
expect_status 0 "$doppel" fit $train -o pca.doppel --model pca
expect_status 0 "$doppel" generate pca.doppel --rows 240 -o double --format idx
evaluate=("$doppel" evaluate --real $train --model cnn.doppel)

expect_status 0 "${evaluate[@]}" --synthetic double --holdout $test --json scores.json -o report.html
expect_output '^accuracy: read as asked for +[0-9.]+ % +[0-9.]+ %$'
expect_output '^Fréchet distance of features +[0-9.]+ +[0-9.]+$'
expect_output '^accuracy of one trained on '
expect_output '^  trained for 3 epochs on 240 synthetic and 240 real images, tested on 120 held-out ones$'
expect_output '^nearer to training images than to held-out ones \(120 of each\): '
for key in accuracy confusion frechet_distance precision recall accuracy_trained_on_synthetic nearer_to_training_share \
    most_repeated; do
  grep -q "\"$key\"" scores.json || fail "no $key in JSON"
done
expect_output '^report: report.html$'
grep -q 'data:image/png;base64,' report.html || fail "no pictures in the report"
cp stdout.txt first.txt && mv report.html first.html
expect_status 0 "${evaluate[@]}" --synthetic double --holdout $test --json scores.json -o report.html
cmp first.html report.html || fail "the same evaluation, another report"
cmp stdout.txt first.txt || fail "the same evaluation, other figures"

# Every form of images; of one without labels no accuracy is known.
quick=("${evaluate[@]}" --no-train-on-synthetic)
expect_status 0 "${quick[@]}" --synthetic double/part-00000-images-idx3-ubyte
cp stdout.txt of_idx.txt
for format in npy png; do
  expect_status 0 "$doppel" generate pca.doppel --rows 240 -o double-$format --format $format
  expect_status 0 "${quick[@]}" --synthetic double-$format
  cmp stdout.txt of_idx.txt || fail "other figures of the same images as $format"
done
mkdir unpacked && tar xf double-png/part-00000.tar -C unpacked
expect_status 0 "${quick[@]}" --synthetic unpacked --min-accuracy 0.5
rm double/part-00000-labels-idx1-ubyte
expect_status 0 "${quick[@]}" --synthetic double
expect_output '^accuracy: read as asked for +- '
expect_error "no labels beside them"
expect_status 2 "${quick[@]}" --synthetic double --min-accuracy 0.5

# Gates: labels that are not what is shown, and copies.
python3 - <<'EOF' || exit 1
labels = bytearray(open("train-labels-idx1-ubyte", "rb").read())
labels[8:] = bytes((label + 1) % 3 for label in labels[8:])
open("wrong-labels-idx1-ubyte", "wb").write(labels)
EOF
cp $train wrong-images-idx3-ubyte
expect_status 4 "${quick[@]}" --synthetic wrong-images-idx3-ubyte --min-accuracy 0.5
expect_error 'is below --min-accuracy 0.5'
expect_status 4 "${quick[@]}" --synthetic $train --holdout $test --max-nearer-share 0.7
expect_error 'above --max-nearer-share 0.7'
expect_output '^to synthetic images +240 +240 +0.0000 +0.0000$'

# Wrong usage says what to do.
printf 'a,b\n1,2\n3,4\n' >table.csv
expect_status 2 "$doppel" evaluate --real $train --synthetic double
expect_error "doppel fit $train --model cnn -o cnn.doppel"
expect_status 2 "$doppel" evaluate --real table.csv --synthetic table.csv --model cnn.doppel
expect_error "are of images, and --real table.csv is a table"
expect_status 2 "${quick[@]}" --synthetic table.csv
expect_error "table.csv: holds no images"
expect_status 2 "${quick[@]}" --synthetic double --target a
expect_status 2 "$doppel" evaluate --real $train --synthetic double --model pca.doppel
expect_error "is no classifier of images"
expect_status 3 "${quick[@]}" --synthetic none

((failures == 0)) && echo "passed"
exit $((failures > 0))
