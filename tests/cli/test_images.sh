#!/usr/bin/env bash
# Images as a user runs them: fit from every kind of file, generate in every format, labels asked for, kills and resuming,
# verification, errors. bash tests/cli/test_images.sh PATH/TO/doppel
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
data_of() { (cd "$1" && cat part-*); }

# 300 grey images of 8 x 8 of three labels, each a bright bar elsewhere, and what else the readers take
python3 - <<'EOF' || exit 1
import os, random, struct, zlib
random.seed(1)
count, side = 300, 8
labels = [i * 7 % 3 + 3 for i in range(count)]
images = [bytes(min(255, 60 * (row // 2 == label - 3) * 3 + random.randrange(40)) for row in range(side) for _ in range(side))
          for label in labels]
pixels = b"".join(images)
open("x-images-idx3-ubyte", "wb").write(struct.pack(">BBBB3I", 0, 0, 8, 3, count, side, side) + pixels)
open("x-labels-idx1-ubyte", "wb").write(struct.pack(">BBBBI", 0, 0, 8, 1, count) + bytes(labels))
def npy(name, descr, shape, data):
    head = ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, shape)).ljust(117) + "\n"
    open(name, "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)
npy("x.npy", "|u1", "(300, 8, 8)", pixels)
npy("x_labels.npy", "|u1", "(300,)", bytes(labels))
npy("colour.npy", "|u1", "(100, 8, 8, 3)", b"".join(images) [:100 * 64] * 3)
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
for i, (image, label) in enumerate(zip(images, labels)):
    os.makedirs(f"png/{label}", exist_ok=True)
    rows = b"".join(b"\0" + image[8 * row : 8 * row + 8] for row in range(side))
    open(f"png/{label}/{i:04}.png", "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
                                                + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
EOF
gzip -k x-images-idx3-ubyte

# The same model from every kind of file (the folder has its images in another order)
expect_status 0 "$doppel" fit x-images-idx3-ubyte -o m.doppel --model pca --components 4
expect_output '^3 +100$'
expect_output '^300 images of 8 x 8, grey$'
expect_status 0 "$doppel" fit x-images-idx3-ubyte.gz -o gz.doppel --model pca --components 4
expect_status 0 "$doppel" fit x.npy -o npy.doppel --model pca --components 4
expect_status 0 "$doppel" fit png -o png.doppel --model pca --components 4
cmp m.doppel gz.doppel || fail "a compressed file makes another model"
cmp m.doppel npy.doppel || fail "an NPY file makes another model"
expect_status 0 "$doppel" inspect m.doppel
expect_output 'learned from 300 images of 8 x 8, grey'
expect_output '4 components explain'
expect_status 0 "$doppel" fit colour.npy -o colour.doppel --model pca
expect_output 'no labels are beside them'
expect_status 0 "$doppel" fit colour.npy -o colour.doppel --model pca --json -
expect_output '"channels": 3'

# The same rows from any number of threads and parts, killed and resumed
generate=("$doppel" generate m.doppel --seed 7 --rows-per-file 20k --format idx)
expect_status 0 "${generate[@]}" --rows 100k -o one --threads 1
expect_status 0 "${generate[@]}" --rows 100k -o two --threads 2 --memory 256M
for part in 3 1 2; do expect_status 0 "${generate[@]}" --rows 100k -o parts --parts 3 --part $part; done
cmp <(data_of one) <(data_of two) || fail "threads change bytes"
cmp <(data_of one) <(data_of parts) || fail "parts change bytes"
[[ $(ls one/part-* | wc -l) == 10 ]] || fail "not a pair a part"
for ((i = 1; i <= 6; ++i)); do
  "${generate[@]}" --rows 100k -o killed --resume -q 2>/dev/null &
  sleep "0.0$((i * 3))"
  kill -KILL $! 2>/dev/null
  wait $! 2>/dev/null
done
expect_status 0 "${generate[@]}" --rows 100k -o killed --resume
diff -r one killed || fail "killed and resumed: not the same folder"
expect_status 0 "$doppel" verify killed --recompute 100% --model m.doppel
rm killed/part-00003-labels-idx1-ubyte
expect_status 4 "$doppel" verify killed
expect_error "part-00003-labels-idx1-ubyte"
expect_status 0 "${generate[@]}" --rows 100k -o killed --resume
cmp <(data_of one) <(data_of killed) || fail "a companion lost and resumed: not the same bytes"
expect_status 0 "$doppel" verify killed
expect_status 0 "$doppel" generate m.doppel --seed 7 --rows 1000 --format raw -o - -q
cp stdout.txt prefix.raw
[[ $(stat -c %s prefix.raw) == 65000 ]] || fail "raw is not 64 levels and a label a row"
cmp <(head -c 65 prefix.raw | head -c 64) <(tail -c +17 one/part-00000-images-idx3-ubyte | head -c 64) || fail "raw and idx differ"

# What is generated can be learned from
expect_status 0 "$doppel" fit one -o again.doppel --model pca
expect_output '^100000 images of 8 x 8, grey$'

# Labels asked for
expect_status 0 "$doppel" generate m.doppel --rows 500 --format idx -o five --label 5
[[ $(tail -c +9 five/part-00000-labels-idx1-ubyte | tr -d '\005' | wc -c) == 0 ]] || fail "--label 5 makes other labels"
expect_status 0 "$doppel" verify five --recompute 100% --model m.doppel
expect_status 2 "$doppel" generate m.doppel --rows 500 --format idx -o five --label 4 --resume
expect_error 'differs in labels ("5", now "4")'
expect_status 0 "$doppel" generate m.doppel --rows 3k --format idx -o balanced --label balanced --contact-sheet sheet.png
[[ $(head -c 4 sheet.png | tail -c 3) == PNG ]] || fail "no contact sheet"
expect_status 2 "$doppel" generate m.doppel --rows 5 --sink null --label 9
expect_error "there is no label '9'"

# Other formats
expect_status 0 "$doppel" generate m.doppel --rows 200 -o x.tar
mkdir unpacked && tar xf x.tar -C unpacked
[[ $(ls unpacked) == $'3\n4\n5' && $(ls unpacked/* | grep -c png) == 200 ]] || fail "a tar archive is no folder of classes"
expect_status 0 "$doppel" fit unpacked -o again.doppel --model pca
expect_status 0 "$doppel" generate m.doppel --rows 200 -o y.npy
[[ -e y_labels.npy ]] || fail "no labels beside an NPY file"
expect_status 2 "$doppel" generate m.doppel --rows 200 -o y.npy
expect_status 0 "$doppel" generate colour.doppel --rows 200 -o y.parquet
for format in parquet arrow npy png raw; do
  expect_status 0 "$doppel" generate m.doppel --rows 2k --format $format -o $format
  expect_status 0 "$doppel" verify $format --recompute 100% --model m.doppel
done
expect_status 0 "$doppel" generate m.doppel --rows 100k --sink null --json result.json
grep -q '"rows": 100000' result.json || fail "no rows in the JSON result"

# Refusals
expect_status 2 "$doppel" generate m.doppel --rows 5 -o x.csv
expect_error "holds no images"
expect_status 2 "$doppel" generate colour.doppel --rows 5 --format idx -o colour
expect_error "grey images"
expect_status 2 "$doppel" generate m.doppel --rows 5 --format idx -o -
expect_error "is one stream"
expect_status 2 "$doppel" generate m.doppel --rows 5 --sink null --where "label=3"
expect_error "--label says"
expect_status 2 "$doppel" fit x.npy -o n.doppel
expect_error "give --model pca"
expect_status 2 "$doppel" fit x.npy -o n.doppel --model pca --target label
expect_status 2 "$doppel" fit x.npy -o n.doppel --model pca --schema s.json
expect_error "are of tables"
printf 'a,b\n1,2\n' >table.csv
expect_status 2 "$doppel" fit table.csv -o n.doppel --labels x_labels.npy
expect_error "is a table"
head -c 1000 x-images-idx3-ubyte >cut-images-idx3-ubyte
expect_status 3 "$doppel" fit cut-images-idx3-ubyte -o n.doppel --model pca
expect_error "cut-images-idx3-ubyte: says that it has 300 images"
head -c 100 m.doppel >cut.doppel
expect_status 3 "$doppel" generate cut.doppel --rows 5 --sink null
mkdir empty
expect_status 3 "$doppel" fit empty -o n.doppel
expect_error "is a folder"
mkdir photos && touch photos/1.jpg
expect_status 3 "$doppel" fit photos -o n.doppel --model pca
expect_error "convert it"
expect_status 0 "$doppel" fit x.npy --labels x-labels-idx1-ubyte -o n.doppel --model pca
expect_status 3 "$doppel" fit colour.npy --labels x_labels.npy -o n.doppel --model pca
expect_error "do not belong together"
echo a,b,c >plain.csv
for ((i = 0; i < 50; ++i)); do echo "$i,$((i * i % 7)),c$((i % 3))"; done >>plain.csv
expect_status 0 "$doppel" fit plain.csv -o plain.doppel --model pca
expect_status 2 "$doppel" generate plain.doppel --rows 5 --sink null --label 3
expect_error "makes no images"
expect_status 2 "$doppel" generate plain.doppel --rows 5 -o rows --format idx
expect_error "is of images"

((failures == 0)) && echo "passed"
exit $((failures > 0))
