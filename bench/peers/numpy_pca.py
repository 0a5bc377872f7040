"""Twenty float32 columns from twenty principal components, on one core: numpy against doppel.

numpy draws the scores, multiplies by the components and adds the mean, and pyarrow writes each block as it comes.
"""

import common

common.pin_to_one_core()

import pathlib
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
        self.values = numpy.empty((COLUMNS, BLOCK), numpy.float32)

    def block(self):
        """Columns by rows, so that a column is contiguous: what a columnar writer takes without a copy."""
        self.random.standard_normal(out=self.scores, dtype=numpy.float32)
        numpy.matmul(self.components, self.scores.T, out=self.values)
        self.values += self.mean[:, None]
        return self.values


def numpy_writing(name, folder):
    """Rows a second of numpy and pyarrow into one file, 40 million rows or fewer."""
    generator = NumpyGenerator()
    names = [f"x{i:02d}" for i in range(COLUMNS)]
    schema = pyarrow.schema([(n, pyarrow.float32()) for n in names])
    path = folder / "numpy"
    if name == "arrow file":
        writer = pyarrow.ipc.new_file(path, schema)
    else:
        writer = pyarrow.parquet.ParquetWriter(path, schema, compression="zstd" if "zstd" in name else "none", use_dictionary=False)

    def write():
        writer.write_batch(pyarrow.record_batch([pyarrow.array(column) for column in generator.block()], schema=schema))

    with writer:
        rate = common.rate_of(write, BLOCK)
    path.unlink()
    return rate


def main():
    common.loaded_machine_note()
    figures = []
    with tempfile.TemporaryDirectory(dir=common.REPOSITORY / "build") as name:
        folder = pathlib.Path(name)
        common.write_normal_table(folder / "normal.parquet", columns=COLUMNS)
        model = folder / "normal.doppel"
        common.doppel("fit", folder / "normal.parquet", "-o", model, "--space", "standardised", "--components", "all")
        rows = 60_000_000
        seconds = common.doppel("generate", model, "--rows", rows, "--sink", "null", "--threads", 1)
        figures.append(("generate", "numpy", common.rate_of(NumpyGenerator().block, BLOCK) / 1e6, rows / seconds / 1e6, "M rows/s", True))
        rows = 10_000_000
        for what, options in FORMATS.items():
            peer = numpy_writing(what, folder)
            out = folder / what.replace(" ", "_")
            seconds = common.doppel("generate", model, "--rows", rows, "-o", out, "--threads", 1, *options)
            figures.append((f"write {what}", "numpy", peer / 1e6, rows / seconds / 1e6, "M rows/s", True))
            for file in out.iterdir():
                file.unlink()
    common.print_table("20 float32 columns, 20 components, one core", figures)


main()
