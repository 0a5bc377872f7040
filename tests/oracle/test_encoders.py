"""Reads the files of every output format with other people's libraries and compares them cell by cell.

The table is tests/host/encoder_cases.h's every_kind(), written here a second time; the program test_host beside doppel
writes the files. Run by CTest; by hand: .deps/bin/python tests/oracle/test_encoders.py build/release/doppel
"""

import csv
import datetime
import io
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq

FIRST_ROW, ROWS = 3, 10_007
EPOCH = datetime.datetime(1970, 1, 1)
FLAGS, ANSWERS = [False, True], [True, False]
CITIES = ["Köln", "Paris, France", 'the "Big" one', "a"]
ESSAYS = ["x" * 100, "short"]


def wave(row):
    return (row * 2654435761) % 2**64 % 2001 - 1000


def note(row):
    return f"n{row + 1}" + (', "quoted"\nand a second line of über 32 bytes' if row % 7 == 3 else "")


# name, value of a row, whether values can be missing
COLUMNS = [
    ("integer", wave, False),
    ("integer with gaps", lambda row: row * 123456789012 - 5, True),
    ("int16", wave, False),
    ('price, "net"', lambda row: wave(row) * 1001 / 100, False),
    (" weight ", lambda row: wave(row) * 50 / 1000, True),
    ("real", lambda row: wave(row) / 7, False),
    ("real32", lambda row: float(np.float32(wave(row)) / np.float32(3)), True),
    ("flag", lambda row: FLAGS[row % 3 == 0], True),
    ("answer", lambda row: ANSWERS[row % 2], False),
    ("Ort ä", lambda row: CITIES[row % 4], True),
    ("essay", lambda row: ESSAYS[row % 2], False),
    ("day", lambda row: (EPOCH + datetime.timedelta(days=wave(row) * 30)).date(), True),
    ("time", lambda row: EPOCH + datetime.timedelta(milliseconds=wave(row) * 987654321), False),
    ("key", lambda row: 1000 + row, False),
    ("note", note, True),
    ("constant", lambda row: "007", True),
    ("empty", lambda row: None, True),
]


def expected(rows):
    """Column name -> list of values, None where missing."""
    table = {}
    for index, (name, value, has_missing) in enumerate(COLUMNS):
        numbers = range(FIRST_ROW, FIRST_ROW + rows)
        table[name] = [None if has_missing and (row + index) % 5 == 0 else value(row) for row in numbers]
    return table


class EncoderFiles(unittest.TestCase):
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.folder_owner = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.folder_owner.name)
        environment = dict(os.environ, DOPPEL_ENCODER_FILES=str(cls.folder))
        program = pathlib.Path(sys.argv[1]).resolve().parent / "tests" / "test_host"
        subprocess.run([program, "--gtest_filter=EncoderFiles.*"], env=environment, check=True,
                       stdout=subprocess.DEVNULL)
        cls.sizes = {"every_kind": ROWS, "one_row": 1, "no_rows": 0}

    @classmethod
    def tearDownClass(cls):
        cls.folder_owner.cleanup()

    def files(self, extension):
        paths = sorted(self.folder.glob("*." + extension))
        self.assertGreaterEqual(len(paths), 3)
        for path in paths:
            rows = ROWS if path.stem.startswith("every_kind") else self.sizes[path.stem]
            with self.subTest(path.name):
                yield path, rows

    def check_arrow_table(self, table, rows):
        table.validate(full=True)
        self.assertEqual(table.num_rows, rows)
        self.assertEqual(table.column_names, [name for name, _, _ in COLUMNS])
        self.assertEqual(table.schema.metadata[b"doppel"], b'{"seed": 1}')
        types = dict(zip(table.column_names, (str(kind) for kind in table.schema.types)))
        self.assertEqual(types["int16"], "int16")
        self.assertEqual(types["real32"], "float")
        self.assertEqual(types["flag"], "bool")
        self.assertEqual(types["Ort ä"], "dictionary<values=string, indices=int32, ordered=0>")
        self.assertEqual(types["day"], "date32[day]")
        self.assertEqual(types["time"], "timestamp[ms, tz=UTC]")
        self.assertEqual(types["key"], "int64")
        for name, values in expected(rows).items():
            got = table.column(name)
            if name == "time":
                got = got.cast(pa.timestamp("ms"))
            self.assertEqual(got.to_pylist(), values, name)
            self.assertEqual(got.null_count, values.count(None), name)

    def test_parquet_by_pyarrow(self):
        for path, rows in self.files("parquet"):
            self.check_arrow_table(pq.read_table(path), rows)

    def test_parquet_metadata(self):
        for path, rows in self.files("parquet"):
            metadata = pq.read_metadata(path)
            self.assertEqual(metadata.num_rows, rows)
            self.assertEqual(metadata.num_row_groups, -(-rows // 2500))
            table = expected(rows)
            end = 4
            for group in range(metadata.num_row_groups):
                described = metadata.row_group(group)
                first = group * 2500
                for index, (name, _, _) in enumerate(COLUMNS):
                    chunk = described.column(index)
                    start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
                    self.assertEqual(start, end)  # chunks lie one after the other without gaps
                    end = start + chunk.total_compressed_size
                    values = [value for value in table[name][first : first + described.num_rows] if value is not None]
                    self.assertEqual(chunk.num_values, described.num_rows)
                    if chunk.is_stats_set and chunk.statistics.has_min_max and name in ("integer", "price, \"net\"", "real", "day"):
                        self.assertEqual(chunk.statistics.min, min(values), name)
                        self.assertEqual(chunk.statistics.max, max(values), name)
                        self.assertEqual(chunk.statistics.null_count, described.num_rows - len(values))
                    if name in ("Ort ä", "essay"):
                        self.assertIn("RLE_DICTIONARY", chunk.encodings)

    def test_parquet_by_rows_filtered_on_statistics(self):
        table = pq.read_table(self.folder / "every_kind_snappy.parquet", filters=[("integer", "=", 7)])
        self.assertEqual(table.num_rows, expected(ROWS)["integer"].count(7))

    def test_arrow_file(self):
        for path, rows in self.files("arrow"):
            with pa.memory_map(str(path)) as source:
                self.check_arrow_table(pa.ipc.open_file(source).read_all(), rows)
            self.check_arrow_table(pa.feather.read_table(path), rows)

    def test_arrow_file_random_access(self):
        reader = pa.ipc.open_file(self.folder / "every_kind_none.arrow")
        self.assertEqual(reader.num_record_batches, 5)
        self.assertEqual(reader.get_batch(2).column("key")[0].as_py(), 1000 + FIRST_ROW + 2 * 2500)

    def test_arrow_stream(self):
        for path, rows in self.files("arrows"):
            self.check_arrow_table(pa.ipc.open_stream(path.read_bytes()).read_all(), rows)

    def csv_text(self, name, value):
        if value is None:
            return {"integer with gaps": "NA", "flag": "?"}.get(name, "")
        if name == 'price, "net"':
            return f"{value:.2f}"
        if name == " weight ":
            return np.format_float_positional(value, trim="-")
        if name == "answer":
            return {True: "true", False: "false"}[value]
        if name == "day":
            return value.strftime("%d/%m/%Y")
        if name == "time":
            return value.isoformat(sep=" ", timespec="milliseconds") + "+00:00"
        if name == "real32":
            value = np.float32(value)
        if name in ("real", "real32"):
            text = str(value if name == "real" else np.format_float_positional(value))
            return text[:-2] if text.endswith(".0") else text.rstrip(".")
        return str(value)

    def test_csv_by_the_csv_module(self):
        for path, rows in self.files("csv"):
            text = path.read_bytes().decode("utf-8")
            self.assertNotIn("\r", text)
            lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
            self.assertEqual(lines[0], [name for name, _, _ in COLUMNS])
            columns = list(zip(*lines[1:])) if rows else [()] * len(COLUMNS)
            for (name, values), cells in zip(expected(rows).items(), columns):
                self.assertEqual(list(cells), [self.csv_text(name, value) for value in values], name)

    def test_csv_by_pandas(self):
        frame = pd.read_csv(self.folder / "every_kind_none.csv", float_precision="round_trip", dtype={"constant": str})
        table = expected(ROWS)
        for name in ("integer", "integer with gaps", "price, \"net\"", " weight ", "real", "Ort ä", "essay", "note", "key", "constant"):
            got = [None if value is None or value != value else value for value in frame[name].tolist()]
            self.assertEqual(got, table[name], name)

    def numpy_values(self, array, name):
        values = array[name]
        if values.dtype.kind == "M":
            return [None if np.isnat(value) else value.item() for value in values]
        if values.dtype.kind == "S":
            return [value.decode("utf-8") or None for value in values]
        if name == "flag":
            return [None if value == -1 else bool(value) for value in values]
        return [None if isinstance(value, float) and math.isnan(value) else value for value in values.tolist()]

    def check_records(self, array, rows):
        self.assertEqual(array.shape, (rows,))
        self.assertEqual(list(array.dtype.names), [name for name, _, _ in COLUMNS])
        self.assertEqual(array.dtype["int16"], np.int16)
        self.assertEqual(array.dtype["answer"], np.bool_)
        self.assertEqual(array.dtype["time"], np.dtype("M8[ms]"))
        for name, values in expected(rows).items():
            self.assertEqual(self.numpy_values(array, name), values, name)

    def test_npy(self):
        for path, rows in self.files("npy"):
            self.check_records(np.load(path), rows)
            if rows:
                self.check_records(np.load(path, mmap_mode="r"), rows)

    def test_raw(self):
        kind = np.load(self.folder / "no_rows.npy").dtype
        for path, rows in self.files("raw"):
            self.check_records(np.frombuffer(path.read_bytes(), dtype=kind), rows)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
