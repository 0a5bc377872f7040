#!/usr/bin/env python3
"""Images of grey levels made black and white once, as of which test bounds of log likelihoods are told: each pixel white
with its level / 255 as probability, by a fixed draw (Salakhutdinov and Murray, "On the quantitative analysis of deep
belief networks", 2008; their own draw of MNIST differs).

    python3 binarise.py FOLDER OUTPUT [SEED]

writes the IDX files of FOLDER (train-images-idx3-ubyte.gz, t10k-..., and their labels) anew under OUTPUT."""
import gzip
import pathlib
import shutil
import sys

import numpy as np

source, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
generator = np.random.default_rng(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
output.mkdir(parents=True, exist_ok=True)
for part in ("train", "t10k"):
    images = gzip.open(source / f"{part}-images-idx3-ubyte.gz").read()
    levels = np.frombuffer(images, np.uint8, offset=16)
    white = generator.random(levels.size, dtype=np.float32) < levels / np.float32(255)
    with gzip.open(output / f"{part}-images-idx3-ubyte.gz", "wb") as file:
        file.write(images[:16] + (255 * white.astype(np.uint8)).tobytes())
    shutil.copy(source / f"{part}-labels-idx1-ubyte.gz", output)
