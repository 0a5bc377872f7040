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

# The model that made the images: its codes and what lies between two images, in the report and in JSON.
quick=("${evaluate[@]}" --no-train-on-synthetic)
expect_status 0 "${quick[@]}" --synthetic double --holdout $test --generator pca.doppel --json codes.json -o report.html
for chart in codes-real codes-synthetic codes-both training-classifier-loss training-classifier-accuracy; do
  grep -q "data-chart=\"$chart\"" report.html || fail "no chart $chart in the report"
done
grep -q 'alt="from one class to another 2 → 0"' report.html || fail "no way from class to class in the report"
python3 - <<'EOF' || fail "codes in JSON"
import json
found = json.load(open("codes.json"))
codes, history = found["generator"], found["classifier_history"]
scatter, ways = codes["code_scatter"], codes["interpolations_within_classes"]
assert codes["kind"] == "image-pca" and codes["codes_per_image"] > 0 and codes["history"] == {}
assert len(scatter["real_x"]) == len(scatter["real_y"]) == len(scatter["real_label"]) == 120  # those held out
assert len(scatter["synthetic_x"]) == 240 and 0 < sum(scatter["explained_share"]) <= 1
assert [way["first_label"] for way in ways] == [0, 1, 2] and all(way["distance_of_codes"] > 0 for way in ways)
assert len(history["training_nats_per_image"]) == len(history["held_out_accuracy"]) == 3
EOF
expect_status 2 "${quick[@]}" --synthetic double --generator pca.doppel
expect_error "is seen with -o report.html or --json FILE"
expect_status 2 "${quick[@]}" --synthetic double --generator cnn.doppel -o report.html
expect_error "--generator cnn.doppel: a model of kind image-cnn has no codes"
python3 - <<'EOF' || exit 1
images, labels = open("train-images-idx3-ubyte", "rb").read(), open("train-labels-idx1-ubyte", "rb").read()
open("two-images-idx3-ubyte", "wb").write(images)
open("two-labels-idx1-ubyte", "wb").write(labels[:8] + bytes(label % 2 for label in labels[8:]))
EOF
expect_status 0 "$doppel" fit two-images-idx3-ubyte -o two.doppel --model pca
expect_status 2 "${quick[@]}" --synthetic double --generator two.doppel -o report.html
expect_error "--generator two.doppel: does not know the label '2' of cnn.doppel"

# Every form of images; of one without labels no accuracy is known.
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
expect_status 0 "${quick[@]}" --synthetic double --generator pca.doppel -o report.html
expect_output '^accuracy: read as asked for +- '
expect_error "no labels beside them"
expect_error "their codes are not known"
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
expect_status 2 "$doppel" evaluate --real table.csv --synthetic table.csv --generator pca.doppel
expect_error "are of images, and --real table.csv is a table"
expect_status 2 "${quick[@]}" --synthetic table.csv
expect_error "table.csv: holds no images"
expect_status 2 "${quick[@]}" --synthetic double --target a
expect_status 2 "$doppel" evaluate --real $train --synthetic double --model pca.doppel
expect_error "is no classifier of images"
expect_status 3 "${quick[@]}" --synthetic none

((failures == 0)) && echo "passed"
exit $((failures > 0))
