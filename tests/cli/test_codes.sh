#!/usr/bin/env bash
# doppel encode, decode and score of images as a user runs them: threads change no byte, wrong files are told with their place.
# bash tests/cli/test_codes.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
export OMP_NUM_THREADS=1

# 300 grey images of 12 x 12 of three labels, each a bright bar elsewhere, and a table of three numbers and a category
python3 - <<'EOP' || exit 1
import random, struct
random.seed(1)
count, side = 300, 12
labels = [i * 7 % 3 for i in range(count)]
images = [bytes(min(255, 80 * (row // 4 == label) * 3 + random.randrange(40)) for row in range(side) for _ in range(side))
          for label in labels]
def write(name, images, labels):
    open(f"{name}-images-idx3-ubyte", "wb").write(struct.pack(">BBBB3I", 0, 0, 8, 3, len(images), side, side) + b"".join(images))
    if labels: open(f"{name}-labels-idx1-ubyte", "wb").write(struct.pack(">BBBBI", 0, 0, 8, 1, len(labels)) + bytes(labels))
write("x", images, labels)
write("bare", images, [])
write("seven", images, [7] * count)
with open("t.csv", "w") as file:
    file.write("a,b,c,k\n")
    for i in range(200):
        a = random.gauss(0, 1)
        file.write(f"{a:.3f},{2 * a + random.gauss(0, 1):.3f},{random.gauss(5, 2):.3f},{'pq'[a > 0]}\n")
EOP
for model in vae pca; do expect_status 0 "$doppel" fit x-images-idx3-ubyte -o $model.doppel --model $model --seed 2 $([[ $model == vae ]] && echo --epochs 1); done
expect_status 0 "$doppel" fit x-images-idx3-ubyte -o cnn.doppel --model cnn --epochs 1
expect_status 0 "$doppel" fit t.csv -o t.doppel --model pca --components 2
expect_status 0 "$doppel" fit t.csv -o m.doppel --members 2

for model in vae pca; do
  expect_status 0 "$doppel" encode $model.doppel x-images-idx3-ubyte -o $model-1.csv --threads 1
  expect_status 0 "$doppel" encode $model.doppel x-images-idx3-ubyte -o $model-2.csv --threads 2
  cmp $model-1.csv $model-2.csv || fail "threads change codes of $model"
  expect_status 0 "$doppel" decode $model.doppel $model-1.csv -o $model-1-images-idx3-ubyte --threads 1
  expect_status 0 "$doppel" decode $model.doppel $model-1.csv -o $model-2-images-idx3-ubyte --threads 2 --contact-sheet $model.png
  cmp $model-1-images-idx3-ubyte $model-2-images-idx3-ubyte || fail "threads change images of $model"
  cmp $model-1-labels-idx1-ubyte x-labels-idx1-ubyte || fail "labels of $model do not come back"
  [[ -s $model.png ]] || fail "no contact sheet"
  expect_status 0 "$doppel" score $model.doppel x-images-idx3-ubyte --contact-sheet odd.png --top 3
  expect_output '^ *[0-9]+ +[012] +-?[0-9.]+ +[0-9.]+$'
done
expect_status 0 "$doppel" decode pca.doppel pca-1.csv --format png -o digits.tar
[[ $(tar tf digits.tar | grep -c '\.png$') == 300 ]] || fail "not as many PNG files as codes"
expect_status 0 "$doppel" encode t.doppel t.csv -o t.npy
expect_status 0 "$doppel" encode t.doppel t.csv -o - --format csv
expect_output '^z1,z2$'

# kinds without codes
for model in cnn m; do
  expect_status 2 "$doppel" encode $model.doppel x-images-idx3-ubyte -o none.csv
  expect_error "has no codes: fit --model pca of a table, or --model vae, vae-dense or pca of images"
done
expect_status 2 "$doppel" score cnn.doppel x-images-idx3-ubyte
expect_error "has no codes"
# data of the other kind, labels that are missing or not known
expect_status 3 "$doppel" encode vae.doppel t.csv -o none.csv
expect_error "t.csv: is a table, and the model is of images"
expect_status 3 "$doppel" encode t.doppel x-images-idx3-ubyte -o none.csv
expect_error "x-images-idx3-ubyte: is images, and the model is of a table"
expect_status 3 "$doppel" encode vae.doppel bare-images-idx3-ubyte -o none.csv
expect_error "bare-images-idx3-ubyte: has no labels beside it"
expect_status 3 "$doppel" encode vae.doppel seven-images-idx3-ubyte -o none.csv
expect_error "images of the label '7', which the model does not know"
expect_status 0 "$doppel" encode vae.doppel bare-images-idx3-ubyte --labels x-labels-idx1-ubyte -o told.csv
cmp told.csv vae-1.csv || fail "labels named are not those beside the images"
# codes that are none of this model's
expect_status 3 "$doppel" decode vae.doppel pca-1.csv -o none.npy
expect_error "codes of this model have label and z1 to z24"
cut -d, -f2- vae-1.csv > unlabelled.csv
expect_status 3 "$doppel" decode vae.doppel unlabelled.csv -o none.npy
expect_error "codes of this model have label and z1 to z24"
sed 's/$/,1/;1s/,1$/,z25/' vae-1.csv > wider.csv
expect_status 3 "$doppel" decode vae.doppel wider.csv -o none.npy
expect_error "and 20 more, and codes of this model have"
printf 'z1,z2\n0.5,1\nnan,1\n' > nan.csv
expect_status 3 "$doppel" decode t.doppel nan.csv -o none.csv
expect_error "nan.csv:3:1: the code is "
printf 'z1,z2\n0.5,\n' > gap.csv
expect_status 3 "$doppel" decode t.doppel gap.csv -o none.csv
expect_error "gap.csv:2:2: the code is missing (column 'z2')"
printf 'z1,z2\n0.5,inf\n' > infinite.csv
expect_status 3 "$doppel" decode t.doppel infinite.csv -o none.csv
expect_error "infinite.csv:2:2: the code is "
printf 'z1,z2\n' > none_yet.csv
expect_status 3 "$doppel" decode t.doppel none_yet.csv -o none.csv
sed '2s/^[012],/9,/' vae-1.csv > nine.csv
expect_status 3 "$doppel" decode vae.doppel nine.csv -o none.npy
expect_error "nine.csv:2:1: the label is none that the model knows"
printf 'a,b,c,k,new\n1,2,3,p,4\n' > more.csv
expect_status 3 "$doppel" encode t.doppel more.csv -o none.csv
expect_error "'new'"
expect_status 2 "$doppel" score t.doppel t.csv --by error
expect_status 2 "$doppel" score vae.doppel x-images-idx3-ubyte --by surprise
for none in none.csv none.npy; do [[ -e $none ]] && fail "$none was written"; done

# another temperature is another output, and resume, verify and inspect know it
generate=("$doppel" generate vae.doppel --seed 7 --rows 600 --rows-per-file 200 --format idx)
expect_status 0 "${generate[@]}" -o warm
expect_status 0 "${generate[@]}" -o cool --temperature 0.5
cmp -s warm/part-00000-images-idx3-ubyte cool/part-00000-images-idx3-ubyte && fail "the temperature changes nothing"
rm cool/part-00001-*
expect_status 0 "${generate[@]}" -o cool --temperature 0.5 --resume
expect_status 0 "$doppel" verify cool --recompute 100% --model vae.doppel
expect_status 2 "${generate[@]}" -o cool --resume
expect_error "temperature (0.5, now 1.0)"
expect_status 0 "$doppel" inspect cool
expect_output '^temperature 0.5$'
for temperature in 0 -1 2.1 nan; do expect_status 2 "${generate[@]}" -o none --temperature $temperature; done
expect_status 2 "$doppel" generate pca.doppel --rows 10 -o none --temperature 0.5
expect_status 2 "$doppel" generate t.doppel --rows 10 -o none --temperature 0.5

# and another precision, where the processor has it
if grep -q avx512_bf16 /proc/cpuinfo; then
  expect_status 0 "${generate[@]}" -o brief --precision bf16
  cmp -s warm/part-00000-images-idx3-ubyte brief/part-00000-images-idx3-ubyte && fail "the precision changes nothing"
  cmp -s warm/part-00000-labels-idx1-ubyte brief/part-00000-labels-idx1-ubyte || fail "the precision changes labels"
  rm brief/part-00001-*
  expect_status 0 "${generate[@]}" -o brief --precision bf16 --resume
  expect_status 0 "$doppel" verify brief --recompute 100% --model vae.doppel
  expect_status 2 "${generate[@]}" -o brief --resume
  expect_error 'precision ("bf16", now "f32")'
  expect_status 0 "$doppel" inspect brief
  expect_output '^precision bf16$'
else
  expect_status 2 "${generate[@]}" -o none --precision bf16
  expect_error "no instructions for bfloat16"
fi
expect_status 2 "${generate[@]}" -o none --precision f16
expect_error "'f16' is none of f32, bf16"
for model in pca t; do expect_status 2 "$doppel" generate $model.doppel --rows 10 -o none --precision bf16; done

((failures == 0)) && echo "passed"
exit $((failures > 0))
