"""Codes of PCA models beside scikit-learn's, densities beside SciPy's, and rows of codes read by NumPy and pyarrow.

Run by CTest; by hand: .deps/bin/python tests/oracle/test_codes.py build/release/doppel
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from safetensors.numpy import load_file
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

DOPPEL = str(pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/doppel").resolve())
IMAGES, SIDE, COMPONENTS = 300, 10, 5


def codes_of(table):
    return np.stack([table[f"z{k + 1}"].to_numpy() for k in range(table.num_columns - ("label" in table.column_names))], 1)


class InFolder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def doppel(cls, *arguments):
        subprocess.run([DOPPEL, *arguments, "-q"], check=True, cwd=cls.folder)


class CodesOfTables(InFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        random = np.random.default_rng(3)
        mixed = random.standard_normal((400, 3)) @ random.standard_normal((3, 6)) + 0.3 * random.standard_normal((400, 6))
        cls.numbers = np.round(100 * mixed + [0, 1000, -50, 5, 0, 300], 2)
        cls.names = list("abcdef")
        cls.write("numbers.csv", cls.numbers)
        for components in ("3", "all"):
            cls.doppel("fit", "numbers.csv", "-o", f"{components}.doppel", "--model", "pca", "--space", "standardised",
                       "--components", components)

    @classmethod
    def write(cls, path, numbers):
        lines = [",".join("" if np.isnan(x) else f"{x:.2f}" for x in row) for row in numbers]
        (cls.folder / path).write_text("\n".join([",".join(cls.names), *lines]) + "\n")

    def oracle(self, components):
        scaler = StandardScaler().fit(self.numbers)
        pca = PCA(components).fit(scaler.transform(self.numbers))
        vectors = load_file(self.folder / ("all.doppel" if components == 6 else "3.doppel"))["components"]
        signs = np.sign((vectors * pca.components_.T).sum(0))
        return scaler, pca, signs

    def test_codes_and_rows_are_those_of_scikit_learn(self):
        scaler, pca, signs = self.oracle(3)
        self.doppel("encode", "3.doppel", "numbers.csv", "-o", "codes.parquet", "--overwrite")
        codes = codes_of(pq.read_table(self.folder / "codes.parquet"))
        expected = pca.transform(scaler.transform(self.numbers))
        np.testing.assert_allclose(codes * signs, expected, atol=1e-7)
        self.doppel("decode", "3.doppel", "codes.parquet", "-o", "again.parquet", "--overwrite")
        again = pq.read_table(self.folder / "again.parquet")
        rows = np.stack([again[name].to_numpy().astype(float) for name in self.names], 1)
        decoded = scaler.inverse_transform(pca.inverse_transform(expected))
        decoded = np.clip(decoded, self.numbers.min(0), self.numbers.max(0))  # as a model's columns are
        np.testing.assert_allclose(rows, decoded, atol=0.00501)

    def test_all_components_bring_every_row_back(self):
        self.doppel("encode", "all.doppel", "numbers.csv", "-o", "all.csv")
        self.doppel("decode", "all.doppel", "all.csv", "-o", "again.csv")
        self.assertEqual((self.folder / "again.csv").read_text(), (self.folder / "numbers.csv").read_text())

    def test_missing_cells_are_their_conditional_mean(self):
        _, _, signs = self.oracle(3)
        with_gaps = self.numbers.copy()
        with_gaps[np.random.default_rng(4).random(with_gaps.shape) < 0.3] = np.nan
        self.write("gaps.csv", with_gaps)
        self.doppel("encode", "3.doppel", "gaps.csv", "-o", "gaps.parquet")
        codes = codes_of(pq.read_table(self.folder / "gaps.parquet"))
        tensors = load_file(self.folder / "3.doppel")
        vectors, values = tensors["components"], tensors["eigenvalues"][:3]
        covariance = (vectors * values) @ vectors.T
        covariance += np.diag(1 - np.diag(covariance))
        scores = (with_gaps - self.numbers.mean(0)) / self.numbers.std(0)
        for row, code in zip(scores, codes):
            known = ~np.isnan(row)
            if known.any():
                row[~known] = covariance[np.ix_(~known, known)] @ np.linalg.solve(covariance[np.ix_(known, known)], row[known])
            else:
                row[:] = 0
            np.testing.assert_allclose(code, vectors.T @ row, atol=1e-6)

    def test_categories_and_gaps_come_back(self):
        random = np.random.default_rng(5)
        level = random.choice(["low", "middle", "high"], 300, p=[0.5, 0.3, 0.2])
        number = np.where(random.random(300) < 0.2, "", (random.integers(0, 40, 300) + 50 * (level == "high")).astype(str))
        text = "level,number\n" + "".join(f"{a},{b}\n" for a, b in zip(level, number))
        (self.folder / "mixed.csv").write_text(text)
        self.doppel("fit", "mixed.csv", "-o", "mixed.doppel", "--model", "pca", "--components", "all")
        self.doppel("encode", "mixed.doppel", "mixed.csv", "-o", "mixed.arrow")
        self.doppel("decode", "mixed.doppel", "mixed.arrow", "-o", "mixed_again.csv")
        given = [line.split(",") for line in text.splitlines()]
        again = [line.split(",") for line in (self.folder / "mixed_again.csv").read_text().splitlines()]
        self.assertEqual([row[0] for row in again], [row[0] for row in given])
        self.assertEqual([row[1] == "" for row in again], [row[1] == "" for row in given])
        there = [i for i, row in enumerate(given) if row[1] != ""]
        self.assertEqual([again[i][1] for i in there], [given[i][1] for i in there])


class CodesOfImages(InFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        random = np.random.default_rng(6)
        patterns = random.standard_normal((COMPONENTS, SIDE * SIDE)) * (25 / 1.5 ** np.arange(COMPONENTS))[:, None]
        levels = 128 + random.standard_normal((IMAGES, COMPONENTS)) @ patterns + random.standard_normal((IMAGES, SIDE * SIDE))
        cls.images = np.clip(np.round(levels), 0, 255).astype(np.uint8).reshape(-1, SIDE, SIDE)
        cls.labels = np.arange(IMAGES) % 3
        np.save(cls.folder / "plain.npy", cls.images)
        np.save(cls.folder / "told.npy", cls.images)
        np.save(cls.folder / "told_labels.npy", cls.labels)
        for name in ("plain", "told"):
            cls.doppel("fit", f"{name}.npy", "-o", f"{name}.doppel", "--model", "pca", "--components", str(COMPONENTS))
            cls.doppel("encode", f"{name}.doppel", f"{name}.npy", "-o", f"{name}.parquet")
            cls.doppel("decode", f"{name}.doppel", f"{name}.parquet", "-o", f"{name}_again.npy")
            cls.doppel("score", f"{name}.doppel", f"{name}.npy", "-o", f"{name}_scores.parquet")

    def test_codes_and_images_are_those_of_scikit_learn(self):
        flat = self.images.reshape(IMAGES, -1).astype(float)
        pca = PCA(COMPONENTS, svd_solver="full").fit(flat)
        table = pq.read_table(self.folder / "plain.parquet")
        self.assertEqual(table.column_names, [f"z{k + 1}" for k in range(COMPONENTS)])
        self.assertEqual(table.schema.field("z1").type, pa.float32())
        expected = pca.transform(flat)
        codes = codes_of(table)
        signs = np.sign((codes * expected).sum(0))
        np.testing.assert_allclose(codes * signs, expected, atol=2e-3 * np.abs(expected).max())
        again = np.load(self.folder / "plain_again.npy").reshape(IMAGES, -1)
        decoded = np.clip(pca.inverse_transform(expected), 0, 255)
        np.testing.assert_allclose(again, decoded, atol=0.75)  # rounding, and the components' own tolerance

    def test_each_label_has_its_own_components(self):
        table = pq.read_table(self.folder / "told.parquet")
        self.assertEqual(table["label"].to_pylist(), self.labels.tolist())
        codes = codes_of(table)
        for label in range(3):
            flat = self.images[self.labels == label].reshape(-1, SIDE * SIDE).astype(float)
            expected = PCA(COMPONENTS, svd_solver="full").fit_transform(flat)
            mine = codes[self.labels == label]
            signs = np.sign((mine * expected).sum(0))
            np.testing.assert_allclose(mine * signs, expected, atol=2e-3 * np.abs(expected).max())

    def test_errors_are_those_of_what_is_decoded(self):
        for name in ("plain", "told"):
            scores = pq.read_table(self.folder / f"{name}_scores.parquet")
            again = np.load(self.folder / f"{name}_again.npy").astype(float)
            expected = np.sqrt(((self.images - again) ** 2).reshape(IMAGES, -1).mean(1))
            np.testing.assert_allclose(scores["error"].to_numpy(), expected, rtol=1e-6)
            self.assertEqual(scores["row"].to_pylist(), list(range(1, IMAGES + 1)))

    def test_scores_are_densities(self):
        tensors = load_file(self.folder / "told.doppel")
        scores = pq.read_table(self.folder / "told_scores.parquet")["score"].to_numpy()
        for i in range(0, IMAGES, 7):
            label = self.labels[i]
            factor = tensors["factor"][label].astype(float)
            noise = np.maximum(tensors["residual"][label].astype(float) ** 2, 1 / 12)
            density = multivariate_normal(tensors["mean"][label].astype(float), factor @ factor.T + np.diag(noise))
            self.assertAlmostEqual(scores[i] / -density.logpdf(self.images[i].ravel().astype(float)), 1, 5)

    def test_a_network_decodes_what_it_encodes(self):
        self.doppel("fit", "told.npy", "-o", "vae.doppel", "--model", "vae-dense", "--epochs", "2")
        self.doppel("encode", "vae.doppel", "told.npy", "-o", "vae.csv")
        self.doppel("decode", "vae.doppel", "vae.csv", "-o", "vae_again.npy")
        self.doppel("score", "vae.doppel", "told.npy", "-o", "vae_scores.parquet")
        again = np.load(self.folder / "vae_again.npy").astype(float)
        expected = np.sqrt(((self.images - again) ** 2).reshape(IMAGES, -1).mean(1))
        errors = pq.read_table(self.folder / "vae_scores.parquet")["error"].to_numpy()
        np.testing.assert_allclose(errors, expected, rtol=1e-6)
        np.testing.assert_array_equal(np.load(self.folder / "vae_again_labels.npy"), self.labels)
        table = pyarrow.csv.read_csv(self.folder / "vae.csv")
        self.assertEqual(table.num_columns, 25)
        # A label may be asked for that is not the image's own: the style is the code's.
        other = table.set_column(0, "label", pa.array((self.labels + 1) % 3))
        pq.write_table(other, self.folder / "other.parquet")
        self.doppel("decode", "vae.doppel", "other.parquet", "-o", "other.npy")
        self.assertTrue((np.load(self.folder / "other.npy") != again).any())


if __name__ == "__main__":
    unittest.main()
