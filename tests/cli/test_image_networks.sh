#!/usr/bin/env bash
# Networks of images as a user runs them: fits are repeatable, rows the same from any threads and parts, labels as asked for,
# a classifier makes none. bash tests/cli/test_image_networks.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/bars.sh"
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
data_of() { (cd "$1" && cat part-*); }
export OMP_NUM_THREADS=1

bars x 240 1

for model in vae vae-dense cnn; do
  expect_status 0 "$doppel" fit x-images-idx3-ubyte -o $model.doppel --model $model --epochs 3 --seed 2
  expect_status 0 "$doppel" fit x-images-idx3-ubyte -o again.doppel --model $model --epochs 3 --seed 2
  cmp $model.doppel again.doppel || fail "a fit of $model is not repeatable"
  expect_status 0 "$doppel" inspect $model.doppel
  expect_output 'learned from 240 images of 12 x 12, grey'
done

for model in vae vae-dense; do
  generate=("$doppel" generate $model.doppel --seed 7 --rows-per-file 2k --format idx --label 0,2)
  expect_status 0 "${generate[@]}" --rows 5k -o $model-one --threads 1
  expect_status 0 "${generate[@]}" --rows 5k -o $model-two --threads 2
  for part in 3 1 2; do expect_status 0 "${generate[@]}" --rows 5k -o $model-parts --parts 3 --part $part; done
  cmp <(data_of $model-one) <(data_of $model-two) || fail "threads change bytes of $model"
  cmp <(data_of $model-one) <(data_of $model-parts) || fail "parts change bytes of $model"
  expect_status 0 "$doppel" verify $model-one --recompute 100% --model $model.doppel
  python3 - $model-one/*labels* <<'EOF' || fail "other labels than asked for"
import sys
assert {label for path in sys.argv[1:] for label in open(path, "rb").read()[8:]} == {0, 2}
EOF
done

expect_status 2 "$doppel" generate cnn.doppel --rows 10 -o none
expect_error "tells images apart and makes none"
expect_status 2 "$doppel" fit x-images-idx3-ubyte -o none.doppel --model vae --members 3
expect_error "not of --model vae"
mv x-labels-idx1-ubyte elsewhere
expect_status 3 "$doppel" fit x-images-idx3-ubyte -o none.doppel --model cnn
expect_error "these have no labels"
expect_status 0 "$doppel" fit x-images-idx3-ubyte -o none.doppel --model vae --epochs 1

((failures == 0)) && echo "passed"
exit $((failures > 0))
