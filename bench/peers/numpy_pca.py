"""Twenty float32 columns from twenty principal components, on one core: numpy against doppel.

numpy draws the scores, multiplies by the components and adds the mean, and pyarrow writes each block as it comes.
"""

import common

common.pin_to_one_core()

import pathlib
import shutil
import tempfile

import numpy
import pyarrow
import pyarrow.parquet

COLUMNS, BLOCK = 20, 1 << 16
FORMATS = {"parquet": ["--format", "parquet", "--compression", "none"],
           "parquet zstd": ["--format", "parquet", "--compression", "zstd"],
           "arrow file": ["--format", "arrow", "--compression", "none"]}


class NumpyGenerator:
    def __init__(self):
        self.random = numpy.random.default_rng(1)
        self.components = self.random.standard_normal((COLUMNS, COLUMNS)).astype(numpy.float32)
        self.mean = self.random.standard_normal(COLUMNS).astype(numpy.float32)
        self.scores = numpy.empty((BLOCK, COLUMNS), numpy.float32)
        self.rows = numpy.empty((BLOCK, COLUMNS), numpy.float32)
        self.columns = numpy.empty((COLUMNS, BLOCK), numpy.float32)

    def row_major(self):
        self.random.standard_normal(out=self.scores, dtype=numpy.float32)
        numpy.matmul(self.scores, self.components, out=self.rows)
        self.rows += self.mean

    def column_major(self):
        """A column is contiguous: what a columnar writer takes without a copy."""
        self.random.standard_normal(out=self.scores, dtype=numpy.float32)
        numpy.matmul(self.components, self.scores.T, out=self.columns)
        self.columns += self.mean[:, None]
        return self.columns


def numpy_generating():
    """Rows a second in the layout that suits numpy better."""
    generator = NumpyGenerator()
    return max(common.rate_of(work, BLOCK) for work in (generator.row_major, generator.column_major))


def numpy_writing(what, folder):
    """Rows a second of numpy and pyarrow into one file."""
    generator = NumpyGenerator()
    names = [f"x{i:02d}" for i in range(COLUMNS)]
    schema = pyarrow.schema([(name, pyarrow.float32()) for name in names])
    path = folder / "numpy"
    if what == "arrow file":
        writer = pyarrow.ipc.new_file(path, schema)
    else:
        writer = pyarrow.parquet.ParquetWriter(path, schema, compression="zstd" if "zstd" in what else "none", use_dictionary=False)

    def write():
        writer.write_batch(pyarrow.record_batch([pyarrow.array(column) for column in generator.column_major()], schema=schema))

    with writer:
        rate = common.rate_of(write, BLOCK)
    path.unlink()
    return rate


def doppel_generating(model, rows, *options):
    """Rows a second of the whole process."""
    return rows / common.doppel("generate", model, "--rows", rows, "--threads", 1, *options)


def doppel_writing(model, folder, *options):
    out = folder / "doppel"
    rate = doppel_generating(model, 5_000_000, "-o", out, *options)
    shutil.rmtree(out)
    return rate


def main():
    common.loaded_machine_note()
    figures = []
    with tempfile.TemporaryDirectory(dir=common.REPOSITORY / "build") as name:
        folder = pathlib.Path(name)
        common.write_normal_table(folder / "normal.parquet", columns=COLUMNS)
        model = folder / "normal.doppel"
        common.doppel("fit", folder / "normal.parquet", "-o", model, "--space", "standardised", "--components", "all")
        peer, ours = common.best_in_turn(numpy_generating, lambda: doppel_generating(model, 60_000_000, "--sink", "null"))
        figures.append(("generate", "numpy", peer / 1e6, ours / 1e6, "M rows/s", True))
        for what, options in FORMATS.items():
            peer, ours = common.best_in_turn(lambda: numpy_writing(what, folder), lambda: doppel_writing(model, folder, *options))
            figures.append((f"write {what}", "numpy", peer / 1e6, ours / 1e6, "M rows/s", True))
    common.print_table("20 float32 columns, 20 components, one core", figures)


main()
