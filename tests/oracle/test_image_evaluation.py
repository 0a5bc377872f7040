"""What doppel evaluate finds in images beside NumPy, SciPy and scikit-learn, on the same features, probabilities and pixels.

The program test_engine beside doppel writes both. Run by CTest; by hand:
.deps/bin/python tests/oracle/test_image_evaluation.py build/release/doppel
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
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

PROGRAM = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/doppel").resolve()
TEST_ENGINE = PROGRAM.parent / "tests" / "test_engine"


def frechet_distance(a, b):
    root = sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
    return (np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a, rowvar=False)) + np.trace(np.cov(b, rowvar=False))
            - 2 * np.trace(np.real(root)))


def precision_and_recall(real, other, neighbours):
    def radii(points):
        return np.sort(cdist(points, points), 1)[:, neighbours]  # the first is the point itself
    distances = cdist(real, other)
    return ((distances <= radii(real)[:, None]).any(0).mean(), (distances <= radii(other)[None, :]).any(1).mean())


class ImageEvaluation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([TEST_ENGINE, "--gtest_filter=ImageEvaluationForTheOracle.*"], check=True,
                           stdout=subprocess.DEVNULL, env={**os.environ, "DOPPEL_ORACLE_FOLDER": folder})
            with safe_open(f"{folder}/evaluation.doppel", framework="np") as file:
                about = json.loads(file.metadata()["doppel"])
                cls.tensors = {name: file.get_tensor(name) for name in file.keys()}
        cls.scores, cls.found = about["scores"], json.loads(about["evaluation"])

    def of(self, what):
        return (self.tensors[f"{images}.{what}"].astype(float) for images in ("real", "synthetic", "holdout"))

    def test_features(self):
        real, synthetic, holdout = self.of("features")
        self.assertAlmostEqual(self.scores["frechet_distance"], frechet_distance(real, synthetic), delta=1e-6)
        precision, recall = precision_and_recall(real, synthetic, 3)
        self.assertAlmostEqual(self.scores["precision"], precision)
        self.assertAlmostEqual(self.scores["recall"], recall)
        # An evaluation takes as many synthetic as held-out images: all of them here.
        for name, images in (("synthetic", synthetic), ("holdout", holdout)):
            self.assertAlmostEqual(self.found[f"{name}_features"]["frechet_distance"], frechet_distance(real, images),
                                   delta=1e-6)

    def test_readings(self):
        for images in ("synthetic", "holdout"):
            labels, probabilities = (self.tensors[f"{images}.{what}"] for what in ("labels", "probabilities"))
            read, found = probabilities.argmax(1), self.found[f"{images}_readings"]
            np.testing.assert_array_equal(found["confusion"], confusion_matrix(labels, read, labels=range(5)))
            self.assertAlmostEqual(found["accuracy"], accuracy_score(labels, read))
            np.testing.assert_allclose(found["class_accuracy"], recall_score(labels, read, average=None))
            counts, _ = np.histogram(probabilities.max(1), 20, (0, 1))
            np.testing.assert_array_equal(found["images_by_confidence"], counts)

    def test_nearest_images(self):
        real, synthetic, holdout = (pixels / 255 for pixels in self.of("pixels"))
        privacy = self.found["privacy"]
        for name, images in (("synthetic", synthetic), ("holdout", holdout)):
            nearest = cdist(images, real).min(1)
            found = privacy[f"{name}_distance_to_nearest_training_image"]
            self.assertAlmostEqual(found["median"], np.median(nearest), delta=1e-9)
            self.assertAlmostEqual(found["percentile_5"], np.percentile(nearest, 5), delta=1e-9)
        for image in privacy["most_repeated"]:
            distances = np.linalg.norm(real - synthetic[image["synthetic_image"]], axis=1)
            self.assertEqual(image["training_image"], distances.argmin())
            self.assertAlmostEqual(image["distance"], distances.min(), delta=1e-9)
            to_held_out = np.linalg.norm(holdout - synthetic[image["synthetic_image"]], axis=1).min()
            self.assertAlmostEqual(image["distance_to_held_out"], to_held_out, delta=1e-9)


if __name__ == "__main__":
    unittest.main()
