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

# A fit that is interrupted half-way goes on to the same model.
for model in vae-dense cnn; do
  other=("$doppel" fit x-images-idx3-ubyte --model $model -o long.doppel --resume)
  long=("$doppel" fit x-images-idx3-ubyte --model $model --epochs 40 --seed 2)
  interrupt_fit "${long[@]}"
  expect_error "'long.doppel.checkpoint' keeps what was learned: the same command with --resume goes on"
  expect_status 2 "${long[@]}" -o long.doppel
  expect_error "--resume goes on, or delete it to start anew"
  expect_status 2 "${other[@]}" --epochs 40 --seed 3
  expect_error "is of another training: --seed (2, now 3)"
  expect_status 2 "${other[@]}" --epochs 41 --seed 2
  expect_error "is of another training: --epochs (\"40\", now \"41\")"
  if [[ $model == vae-dense ]]; then
    expect_status 2 "${other[@]}" --epochs 40 --seed 2 --texture none
    expect_error "is of another training: --texture (\"auto\", now \"none\")"
  fi
  cp x-labels-idx1-ubyte kept
  printf '\0' | dd of=x-labels-idx1-ubyte bs=1 seek=9 conv=notrunc 2>dd.txt
  expect_status 2 "${long[@]}" -o long.doppel --resume
  expect_error "is of another training: the checksum of the images"
  mv kept x-labels-idx1-ubyte
  head -c -1 long.doppel.checkpoint > other.doppel.checkpoint
  expect_status 3 "${long[@]}" -o other.doppel --resume
  expect_error "other.doppel.checkpoint: not a usable model file"
  expect_status 0 "${long[@]}" -o long.doppel --resume
  cmp whole.doppel long.doppel || fail "a resumed fit of $model is another model"
  [[ -e long.doppel.checkpoint ]] && fail "a checkpoint is left behind"
done
expect_status 0 "$doppel" inspect long.doppel
expect_output '^ *40 +[+-][0-9.]+ +[+-][0-9.]+ +[0-9.]+ %$'
expect_status 2 "$doppel" fit x-images-idx3-ubyte -o none.doppel --model pca --resume
expect_error "--resume is of networks"
for option in "--prior flat" "--texture 0" "--texture 1000000" "--likelihood gaussian"; do
  # shellcheck disable=SC2086
  expect_status 2 "$doppel" fit x-images-idx3-ubyte -o none.doppel --model vae $option
done
expect_status 2 "$doppel" fit x-images-idx3-ubyte -o none.doppel --model cnn --prior normal
expect_status 0 "$doppel" fit x-images-idx3-ubyte -o logistic.doppel --model vae-dense --epochs 1 --likelihood logistic --prior normal --texture 3
expect_status 0 "$doppel" inspect logistic.doppel --json logistic.json
python3 -c 'import json; m = json.load(open("logistic.json")); assert (m["prior"], m["network"]["likelihood"], m["texture_directions"]) == ("normal", "logistic", 3)' || fail "options of the VAE are not kept"

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
