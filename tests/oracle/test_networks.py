"""Networks of images beside the same lists of layers computed by SciPy in double precision, from the files alone.

The program test_engine beside doppel trains them and writes what they compute. Run by CTest; by hand:
.deps/bin/python tests/oracle/test_networks.py build/release/doppel
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from safetensors import safe_open
from scipy.signal import convolve2d, correlate2d
from scipy.special import expit, softmax

PROGRAM = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/doppel").resolve()
TEST_ENGINE = PROGRAM.parent / "tests" / "test_engine"
TOLERANCE = 1e-4


def read(path):
    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["doppel"]), {name: file.get_tensor(name) for name in file.keys()}


def conv2d(x, weight, bias, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    return np.stack([[sum(correlate2d(image[i], kernel[i], "valid") for i in range(len(image)))[::stride, ::stride] + b
                      for kernel, b in zip(weight, bias)] for image in x])


def conv_transpose2d(x, weight, bias, stride, padding, output_padding):
    rows, inputs, height, width = x.shape
    below, right = output_padding
    spread = np.zeros((rows, inputs, (height - 1) * stride + 1 + below, (width - 1) * stride + 1 + right))
    spread[:, :, :(height - 1) * stride + 1:stride, :(width - 1) * stride + 1:stride] = x
    whole = np.stack([[sum(convolve2d(image[i], weight[i, o], "full") for i in range(inputs)) + bias[o]
                       for o in range(weight.shape[1])] for image in spread])
    return whole[:, :, padding:whole.shape[2] - padding, padding:whole.shape[3] - padding]


def max_pool2d(x, size):
    rows, channels, height, width = x.shape
    x = x[:, :, :height // size * size, :width // size * size]
    return x.reshape(rows, channels, height // size, size, width // size, size).max((3, 5))


def compute(layers, prefix, tensors, x, label=None, until=None):
    """x through a list of layers; label is added to what the first dense layer gives."""
    for number, layer in enumerate(layers[:until]):
        weight, bias = (tensors.get(f"{prefix}.{number}.{name}") for name in ("weight", "bias"))
        match layer["type"]:
            case "conv2d":
                x = conv2d(x, weight, bias, layer["stride"], layer["padding"])
            case "conv_transpose2d":
                x = conv_transpose2d(x, weight, bias, layer["stride"], layer["padding"], layer["output_padding"])
            case "max_pool2d":
                x = max_pool2d(x, layer["size"])
            case "relu":
                x = np.maximum(x, 0)
            case "flatten":
                x = x.reshape(len(x), -1)
            case "unflatten":
                x = x.reshape(len(x), layer["channels"], layer["height"], layer["width"])
            case "dense":
                x = x @ weight.T.astype(float) + bias
                if label is not None:
                    x, label = x + label, None
            case other:
                raise ValueError(other)
    return x


class Networks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([TEST_ENGINE, "--gtest_filter=NetworksForTheOracle.*"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "DOPPEL_ORACLE_FOLDER": cls.folder.name})
        _, cls.computed = read(f"{cls.folder.name}/computed.doppel")
        cls.images = cls.computed["images"].transpose(0, 3, 1, 2) / 255.0

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_classifier(self):
        about, tensors = read(f"{self.folder.name}/classifier.doppel")
        self.assertEqual(about["kind"], "image-cnn")
        logits = compute(about["layers"], "layers", tensors, self.images)
        features = compute(about["layers"], "layers", tensors, self.images, until=-1)
        np.testing.assert_allclose(self.computed["probabilities"], softmax(logits, 1), atol=TOLERANCE)
        np.testing.assert_allclose(self.computed["features"], features, atol=TOLERANCE * np.abs(features).max())

    def test_variational_autoencoders(self):
        for name in ("dense", "convolutional"):
            about, tensors = read(f"{self.folder.name}/{name}.doppel")
            self.assertEqual(about["network"]["convolutional"], name == "convolutional")
            labels = self.computed["labels"]
            heads = compute(about["encoder"], "encoder", tensors, self.images, tensors["encoder.label"][labels])
            means = heads[:, :about["network"]["latent"]]
            np.testing.assert_allclose(self.computed[f"{name}.means"], means, atol=TOLERANCE * np.abs(means).max())
            logits = compute(about["decoder"], "decoder", tensors, means, tensors["decoder.label"][labels])
            levels = 255 * expit(logits).transpose(0, 2, 3, 1)
            np.testing.assert_allclose(self.computed[f"{name}.levels"], levels, atol=0.6)


if __name__ == "__main__":
    unittest.main()
