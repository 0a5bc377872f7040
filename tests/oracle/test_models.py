"""Model files as the safetensors package reads them; principal components beside scikit-learn's.

The program test_engine beside doppel writes them. Run by CTest; by hand:
.deps/bin/python tests/oracle/test_models.py build/release/doppel
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
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

PROGRAM = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/doppel").resolve()
TEST_ENGINE = PROGRAM.parent / "tests" / "test_engine"


def run_case(folder, case):
    subprocess.run([TEST_ENGINE, f"--gtest_filter={case}"], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "DOPPEL_ORACLE_FOLDER": str(folder)})


class ModelFiles(unittest.TestCase):
    def test_small_model_is_read_by_safetensors(self):
        with tempfile.TemporaryDirectory() as folder:
            run_case(folder, "ModelFileForTheOracle.WritesTheSmallModel")
            with safe_open(f"{folder}/small.doppel", framework="np") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
                metadata = file.metadata()
        self.assertEqual(set(metadata), {"checksum", "doppel"})
        self.assertEqual(json.loads(metadata["doppel"]),
                         {"kind": "test", "version": 1, "text": 'Größe "quoted"\n', "share": 0.1})
        expected = {"bytes": np.array([1, 2, 3], np.uint8),
                    "factor": np.array([[1.5, -2, 0.25], [0, 1e-30, 3]], np.float32),
                    "large": np.array([-1, 2**62], np.int64),
                    "Reals": np.array([[0.1]]),
                    "codes": np.array(-7, np.int32),
                    "none": np.zeros((0, 4))}
        self.assertEqual(set(tensors), set(expected))
        for name, values in expected.items():
            self.assertEqual(tensors[name].dtype, values.dtype, name)
            np.testing.assert_array_equal(tensors[name], values, name)

    def test_components_are_those_of_scikit_learn(self):
        random = np.random.default_rng(3)
        numbers = random.standard_normal((700, 6)) @ random.standard_normal((6, 6)) + random.standard_normal(6) * 100
        numbers[:, 2] = np.exp(numbers[:, 2] / 50)
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "numbers.json").write_text(json.dumps(numbers.T.tolist()))
            run_case(folder, "PcaModelForTheOracle.FitsTheNumbersThatTheScriptWrote")
            with safe_open(f"{folder}/numbers.doppel", framework="np") as file:
                eigenvalues, components = file.get_tensor("eigenvalues"), file.get_tensor("components")
                linear = file.get_tensor("columns.linear")
        expected = PCA().fit(StandardScaler().fit_transform(numbers))
        rows = len(numbers)  # scikit-learn divides by rows - 1
        np.testing.assert_allclose(eigenvalues, expected.explained_variance_ * (rows - 1) / rows, rtol=0, atol=1e-9)
        signs = np.sign((components * expected.components_.T).sum(0))
        np.testing.assert_allclose(components, expected.components_.T * signs, rtol=0, atol=1e-9)
        np.testing.assert_allclose(linear[:, 0], numbers.mean(0), rtol=1e-12)
        np.testing.assert_allclose(linear[:, 1], numbers.std(0), rtol=1e-12)


if __name__ == "__main__":
    unittest.main()
