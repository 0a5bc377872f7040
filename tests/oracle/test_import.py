"""Networks made elsewhere and imported by doppel beside what they compute themselves: PyTorch's, where there is PyTorch
(Debian's python3-torch), and lists of layers of random weights, computed by SciPy.

The program test_engine beside doppel computes with the imported models. Run by CTest; by hand:
.deps/bin/python tests/oracle/test_import.py build/release/doppel
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import warnings

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import expit, softmax

PROGRAM = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/doppel").resolve()
TEST_ENGINE = PROGRAM.parent / "tests" / "test_engine"
SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(SOURCE / "tests" / "oracle"), str(SOURCE / "bench" / "peers"), "/usr/lib/python3/dist-packages"]
from export_pytorch import export  # noqa: E402
from test_networks import compute  # noqa: E402

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of another NumPy than torch was built for: it is not needed
        import torch
except ImportError:
    torch = None

ROWS, HEIGHT, WIDTH, LATENT, HIDDEN, CHANNELS, FEATURES = 20, 12, 10, 4, 24, 8, 16
LABELS = ["cat", "dog", "owl"]
TOLERANCE = 1e-4

CLASSIFIER = [
    {"type": "conv2d", "inputs": 1, "outputs": CHANNELS, "kernel": 3, "stride": 1, "padding": 1},
    {"type": "max_pool2d", "size": 2}, {"type": "relu"}, {"type": "flatten"},
    {"type": "dense", "inputs": CHANNELS * 30, "outputs": FEATURES}, {"type": "relu"},
    {"type": "dense", "inputs": FEATURES, "outputs": len(LABELS)}]
DECODER = [
    {"type": "dense", "inputs": LATENT, "outputs": HIDDEN}, {"type": "relu"},
    {"type": "dense", "inputs": HIDDEN, "outputs": HIDDEN}, {"type": "relu"},
    {"type": "dense", "inputs": HIDDEN, "outputs": CHANNELS * 30},
    {"type": "unflatten", "channels": CHANNELS, "height": 6, "width": 5}, {"type": "relu"},
    {"type": "conv_transpose2d", "inputs": CHANNELS, "outputs": 1, "kernel": 4, "stride": 2, "padding": 1,
     "output_padding": [0, 0]}]


def random_weights(layers, random):
    tensors = {}
    for number, layer in enumerate(layers):
        shape = {"dense": lambda l: (l["outputs"], l["inputs"]),
                 "conv2d": lambda l: (l["outputs"], l["inputs"], l["kernel"], l["kernel"]),
                 "conv_transpose2d": lambda l: (l["inputs"], l["outputs"], l["kernel"], l["kernel"])}.get(layer["type"])
        if shape:
            tensors[f"{number}.weight"] = random.normal(0, 0.3, shape(layer)).astype(np.float32)
            tensors[f"{number}.bias"] = random.normal(0, 0.3, layer["outputs"]).astype(np.float32)
    return tensors


class Imports(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)
        random = np.random.default_rng(7)
        self.images = random.integers(0, 256, (ROWS, HEIGHT, WIDTH, 1), np.uint8)
        self.latents = random.standard_normal((ROWS, LATENT)).astype(np.float32)
        self.labels = random.integers(0, len(LABELS), ROWS).astype(np.int32)
        self.random = random
        save_file({"images": self.images, "latents": self.latents, "labels": self.labels}, self.folder / "given.safetensors")

    def doppel(self, *arguments, status=0):
        done = subprocess.run([PROGRAM, *arguments, "-q"], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr

    def computed(self):
        for name in ("classifier", "decoder"):
            self.doppel("import", f"{name}.safetensors", "--layers", f"{name}.json", "-o", f"{name}.doppel")
        subprocess.run([TEST_ENGINE, "--gtest_filter=ImportsForTheOracle.*"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "DOPPEL_ORACLE_FOLDER": str(self.folder)})
        return load_file(self.folder / "computed.doppel")

    def write(self, name, kind, layers, tensors, **more):
        description = {"kind": kind, "image": {"channels": 1, "height": HEIGHT, "width": WIDTH}, "label_names": LABELS,
                       "layers": layers, **more}
        (self.folder / f"{name}.json").write_text(json.dumps(description))
        save_file(tensors, self.folder / f"{name}.safetensors")

    def write_both(self):
        of_classifier, of_decoder = random_weights(CLASSIFIER, self.random), random_weights(DECODER, self.random)
        of_decoder["label.weight"] = self.random.standard_normal((len(LABELS), HIDDEN)).astype(np.float32)
        self.write("classifier", "classifier", CLASSIFIER, of_classifier)
        self.write("decoder", "decoder", DECODER, of_decoder)
        return of_classifier, of_decoder

    def check_images(self, logits):
        """decode through files of codes and of images."""
        table = np.column_stack([np.array(LABELS)[self.labels], self.latents.astype(str)])
        header = ["label", *(f"z{k + 1}" for k in range(LATENT))]
        (self.folder / "codes.csv").write_text("\n".join(",".join(row) for row in [header, *table]) + "\n")
        self.doppel("decode", "decoder.doppel", "codes.csv", "-o", "decoded.npy")
        np.testing.assert_allclose(np.load(self.folder / "decoded.npy"), 255 * expit(logits[..., 0]), atol=0.6)

    def test_layers_of_random_weights(self):
        of_classifier, of_decoder = self.write_both()
        computed = self.computed()
        named = {f"layers.{name}": tensor for name, tensor in of_classifier.items()}
        logits = compute(CLASSIFIER, "layers", named, self.images.transpose(0, 3, 1, 2) / 255.0)
        np.testing.assert_allclose(computed["probabilities"], softmax(logits, 1), atol=TOLERANCE)
        named = {f"layers.{name}": tensor for name, tensor in of_decoder.items()}
        outputs = compute(DECODER, "layers", named, self.latents.astype(float), of_decoder["label.weight"][self.labels])
        outputs = outputs.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(computed["outputs"], outputs, atol=TOLERANCE * np.abs(outputs).max())
        self.check_images(outputs)

    @unittest.skipUnless(torch, "there is no torch")
    def test_modules_of_torch(self):
        torch.manual_seed(3)
        nn = torch.nn
        classifier = nn.Sequential(nn.Conv2d(1, CHANNELS, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
                                   nn.Dropout(0.5), nn.Linear(CHANNELS * 30, FEATURES), nn.ReLU(), nn.Dropout(0.5),
                                   nn.Linear(FEATURES, len(LABELS))).eval()
        decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
                                nn.Linear(HIDDEN, CHANNELS * 30), nn.Unflatten(1, (CHANNELS, 6, 5)), nn.ReLU(),
                                nn.ConvTranspose2d(CHANNELS, 1, 4, stride=2, padding=1)).eval()
        label = nn.Embedding(len(LABELS), HIDDEN)
        image = (1, HEIGHT, WIDTH)
        export(classifier, "classifier", image, LABELS, self.folder / "classifier")
        export(decoder, "decoder", image, LABELS, self.folder / "decoder", label=label)
        computed = self.computed()
        with torch.no_grad():
            images = torch.tensor(self.images.transpose(0, 3, 1, 2).tolist()) / 255
            expected = np.array(torch.softmax(classifier(images), 1).tolist())
            first = decoder[0](torch.tensor(self.latents.tolist())) + label(torch.tensor(self.labels.tolist()))
            outputs = np.array(decoder[1:](first).tolist()).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(computed["probabilities"], expected, atol=TOLERANCE)
        np.testing.assert_allclose(computed["outputs"], outputs, atol=TOLERANCE)
        self.check_images(outputs)

    def test_decoders_make_images(self):
        self.write_both()
        self.doppel("import", "decoder.safetensors", "--layers", "decoder.json", "-o", "decoder.doppel")
        self.doppel("generate", "decoder.doppel", "--rows", "300", "--label", "dog", "-o", "dogs.npy")
        self.assertEqual(np.load(self.folder / "dogs.npy").shape, (300, HEIGHT, WIDTH))
        np.save(self.folder / "images.npy", self.images[..., 0])
        np.save(self.folder / "images_labels.npy", np.array(LABELS)[self.labels])
        for command in ("encode", "score"):
            error = self.doppel(command, "decoder.doppel", "images.npy", "-o", "none.csv", status=2)
            self.assertIn("imported without an encoder", error)

    def test_what_is_no_such_network_is_refused(self):
        of_classifier, of_decoder = self.write_both()

        def refused(message, name, layers, tensors, **more):
            self.write("bad", name, layers, tensors, **more)
            error = self.doppel("import", "bad.safetensors", "--layers", "bad.json", "-o", "bad.doppel", status=3)
            self.assertIn(message, error)
            self.assertFalse((self.folder / "bad.doppel").exists())

        refused("no tensor 'layers.0.bias'", "classifier", CLASSIFIER,
                {name: tensor for name, tensor in of_classifier.items() if name != "0.bias"})
        refused("no layer takes the tensor '9.weight'", "classifier", CLASSIFIER,
                {**of_classifier, "9.weight": np.zeros(3, np.float32)})
        refused("has shape [3, 16] where [3, 17] is needed", "classifier",
                CLASSIFIER[:4] + [{**CLASSIFIER[4], "outputs": 17}, CLASSIFIER[5], {**CLASSIFIER[6], "inputs": 17}],
                {**of_classifier, "4.weight": np.zeros((17, 240), np.float32), "4.bias": np.zeros(17, np.float32)})
        refused("its list of layers", "classifier", CLASSIFIER[:1] + [{**CLASSIFIER[1], "size": 3}] + CLASSIFIER[2:],
                of_classifier)
        refused("not finite", "classifier", CLASSIFIER, {**of_classifier, "0.bias": np.full(CHANNELS, np.nan, np.float32)})
        refused("is of type F64", "classifier", CLASSIFIER, {**of_classifier, "0.bias": np.zeros(CHANNELS)})
        refused("'kind'", "autoencoder", CLASSIFIER, of_classifier)
        refused("'decoder.label'", "decoder", DECODER,
                {name: tensor for name, tensor in of_decoder.items() if name != "label.weight"})
        refused("unknown 'likelihood'", "decoder", DECODER, of_decoder, likelihood="normal")
        refused("'bias'", "decoder", DECODER, of_decoder, bias=True)
        (self.folder / "bad.json").write_text("{")
        self.assertIn("bad.json: is not JSON",
                      self.doppel("import", "bad.safetensors", "--layers", "bad.json", "-o", "bad.doppel", status=3))
        (self.folder / "bad.safetensors").write_bytes((self.folder / "decoder.safetensors").read_bytes()[:-5])
        self.assertIn("bad.safetensors: ",
                      self.doppel("import", "bad.safetensors", "--layers", "decoder.json", "-o", "bad.doppel", status=3))


if __name__ == "__main__":
    unittest.main()
