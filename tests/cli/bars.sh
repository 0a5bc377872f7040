# bars NAME COUNT SEED: grey images of 12 x 12 of three labels, each a bright bar elsewhere, as NAME-images-idx3-ubyte and
# its labels.
bars() {
  python3 - "$@" <<'EOF_OF_BARS' || exit 1
import random, struct, sys
name, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
side = 12
labels = [i * 7 % 3 for i in range(count)]
images = [bytes(min(255, 80 * (row // 4 == label) * 3 + random.randrange(40)) for row in range(side) for _ in range(side))
          for label in labels]
open(f"{name}-images-idx3-ubyte", "wb").write(struct.pack(">BBBB3I", 0, 0, 8, 3, count, side, side) + b"".join(images))
open(f"{name}-labels-idx1-ubyte", "wb").write(struct.pack(">BBBBI", 0, 0, 8, 1, count) + bytes(labels))
EOF_OF_BARS
}
# interrupt_fit FIT...: FIT -o whole.doppel from start to end, then FIT -o long.doppel interrupted in its training, which leaves
# long.doppel.checkpoint and no model.
interrupt_fit() {
  local start took fit status=none share=2
  start=$(date +%s%N)
  expect_status 0 "$@" -o whole.doppel
  took=$(($(date +%s%N) - start))
  until [[ -e long.doppel.checkpoint ]] || ((share > 64)); do
    rm -f long.doppel
    "$@" -o long.doppel 2>stderr.txt >stdout.txt &
    fit=$!
    sleep "$(awk "BEGIN {print $took / 1e9 / $share}")"
    kill -INT $fit
    wait $fit
    status=$?
    [[ $status == 0 || $status == 130 ]] || fail "status $status of a fit that was interrupted: $*"
    share=$((share * 2))
  done
  [[ $status == 130 && -e long.doppel.checkpoint && ! -e long.doppel ]] ||
    fail "status $status of a fit that was interrupted, or no checkpoint: $*"
}
