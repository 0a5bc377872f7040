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
