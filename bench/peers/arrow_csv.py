"""CSV of twenty float32 columns on one core: Arrow's CSV writer, which encodes a batch that is in memory, against doppel,
which makes the rows as well. Once with four decimals a value, once with all digits that tell a float32 from its neighbours.
"""

import common

common.pin_to_one_core()

import os
import pathlib
import subprocess
import tempfile

import pyarrow
import pyarrow.csv
import pyarrow.parquet


class Counter:
    """A file that counts what is written and keeps nothing."""

    closed = False

    def __init__(self):
        self.bytes = 0

    def write(self, data):
        self.bytes += len(data)
        return len(data)

    def flush(self):
        pass

    def close(self):
        pass


def main():
    common.loaded_machine_note()
    pyarrow.set_cpu_count(1)
    figures = []
    with tempfile.TemporaryDirectory(dir=common.REPOSITORY / "build") as name:
        folder = pathlib.Path(name)
        for what, decimals in (("4 decimals", 4), ("all digits", None)):
            data, model, out = folder / "normal.parquet", folder / "normal.doppel", folder / "out"
            common.write_normal_table(data, decimals=decimals)
            batch = pyarrow.parquet.read_table(data).combine_chunks().to_batches()[0]
            counter = Counter()
            writer = pyarrow.csv.CSVWriter(pyarrow.PythonFile(counter, "w"), batch.schema)
            peer = common.rate_of(lambda: writer.write_batch(batch), batch.num_rows)
            writer.write_batch(batch.slice(0, 0))
            before = counter.bytes
            writer.write_batch(batch)
            peer_bytes = (counter.bytes - before) / batch.num_rows

            common.doppel("fit", data, "-o", model)
            rows = 5_000_000
            with open(os.devnull, "w") as nowhere:
                seconds = common.doppel("generate", model, "--rows", rows, "--format", "csv", "-o", "-", "--threads", 1, stdout=nowhere)
            text = subprocess.run([common.DOPPEL, "generate", model, "--rows", "10000", "--format", "csv", "-o", "-", "-q"],
                                  stdout=subprocess.PIPE, check=True).stdout
            figures.append((f"{what}, rows", "Arrow", peer / 1e6, rows / seconds / 1e6, "M rows/s", True))
            figures.append((f"{what}, text", "Arrow", peer * peer_bytes / 1e6, rows / seconds * len(text) / 10_000 / 1e6, "MB/s", True))
    common.print_table("CSV of 20 float32 columns, one core", figures)


main()
