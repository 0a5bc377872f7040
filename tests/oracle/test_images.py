"""Reads the files that doppel generates of images with NumPy, pyarrow and tarfile, and checks that every format holds the
same images and labels; and fits the arrays that NumPy writes.

Run by CTest; by hand: .deps/bin/python tests/oracle/test_images.py build/release/doppel
"""

import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zlib

import numpy as np
import pyarrow.feather
import pyarrow.parquet as pq

DOPPEL = str(pathlib.Path(sys.argv[1]).resolve())
ROWS = 3000


def read_idx(path):
    data = path.read_bytes()
    shape = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def read_png(data):
    """Levels of a PNG file without filters, as its chunks have them."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    packed, at = b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        assert zlib.crc32(data[at + 4 : at + 8 + length]) == struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0]
        packed += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, -1)
    assert bits == 8 and colour in (0, 2) and not rows[:, 0].any()
    return rows[:, 1:].reshape((height, width) + ((3,) if colour == 2 else ()))


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        random = np.random.default_rng(1)
        labels = random.integers(3, 6, 400)
        grey = random.integers(0, 60, (400, 9, 7)) + 30 * labels[:, None, None]
        colour = np.stack([grey, 255 - grey, grey // 2], axis=3)
        for name, images in (("grey", grey), ("colour", colour)):
            np.save(cls.folder / f"{name}.npy", images.astype(np.uint8))
            np.save(cls.folder / f"{name}_labels.npy", labels if name == "grey" else np.array(["a", "b", "ü"])[labels - 3])
            cls.run_doppel("fit", f"{name}.npy", "-o", f"{name}.doppel", "--model", "pca")
            for format in ("npy", "png", "parquet", "arrow", "raw") + (("idx",) if name == "grey" else ()):
                cls.run_doppel("generate", f"{name}.doppel", "--rows", str(ROWS), "--format", format, "-o", f"{name}-{format}")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def run_doppel(cls, *arguments):
        subprocess.run([DOPPEL, *arguments, "-q"], check=True, cwd=cls.folder)

    def expected(self, name):
        """The images and label texts of the format npy, which the others must have, too."""
        folder = self.folder / f"{name}-npy"
        images, labels = np.load(folder / "part-00000.npy"), np.load(folder / "part-00000_labels.npy")
        self.assertEqual(images.shape, (ROWS, 9, 7) if name == "grey" else (ROWS, 9, 7, 3))
        self.assertEqual(images.dtype, np.uint8)
        return images, [label.decode() if isinstance(label, bytes) else str(label) for label in labels]

    def test_images_are_those_of_their_labels(self):
        images, labels = self.expected("grey")
        for label in ("3", "4", "5"):
            chosen = images[np.array(labels) == label]
            self.assertAlmostEqual(len(chosen) / ROWS, np.mean(np.load(self.folder / "grey_labels.npy") == int(label)), 2)
            self.assertAlmostEqual(chosen.mean(), 29.5 + 30 * int(label), delta=2)

    def test_idx(self):
        images, labels = self.expected("grey")
        folder = self.folder / "grey-idx"
        np.testing.assert_array_equal(read_idx(folder / "part-00000-images-idx3-ubyte"), images)
        self.assertEqual([str(label) for label in read_idx(folder / "part-00000-labels-idx1-ubyte")], labels)

    def test_raw(self):
        for name, label_type in (("grey", "u1"), ("colour", "S2")):
            images, labels = self.expected(name)
            kind = np.dtype([("image", "u1", images.shape[1:]), ("label", label_type)])
            records = np.fromfile(self.folder / f"{name}-raw" / "part-00000.raw", kind)
            np.testing.assert_array_equal(records["image"], images)
            found = [label.decode() if name == "colour" else str(label) for label in records["label"].tolist()]
            self.assertEqual(found, labels)

    def test_parquet_and_arrow(self):
        for name in ("grey", "colour"):
            images, labels = self.expected(name)
            for table in (
                pq.read_table(self.folder / f"{name}-parquet" / "part-00000.parquet"),
                pyarrow.feather.read_table(self.folder / f"{name}-arrow" / "part-00000.arrow"),
            ):
                shape = {key.decode(): int(value) for key, value in table.schema.field("image").metadata.items() if key != b"PARQUET:field_id"}
                self.assertEqual(shape, {"height": 9, "width": 7, "channels": 1 if name == "grey" else 3})
                levels = np.frombuffer(b"".join(table["image"].to_pylist()), np.uint8).reshape(images.shape)
                np.testing.assert_array_equal(levels, images)
                self.assertEqual([str(label) for label in table["label"].to_pylist()], labels)

    def test_png(self):
        for name in ("grey", "colour"):
            images, labels = self.expected(name)
            with tarfile.open(self.folder / f"{name}-png" / "part-00000.tar") as archive:
                members = archive.getmembers()
                self.assertEqual([member.name for member in members], [f"{label}/{row:012}.png" for row, label in enumerate(labels)])
                for row, member in enumerate(members):
                    np.testing.assert_array_equal(read_png(archive.extractfile(member).read()), images[row])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
