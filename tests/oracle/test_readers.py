"""Tables of pyarrow, pandas and Python's csv module, learned by doppel fit and written again by doppel generate.

Of each column: the kind it is taken for, the type it is written with, values in the original's range or among its
levels, and the share of missing ones. Run by CTest; by hand:
.deps/bin/python tests/oracle/test_readers.py build/release/doppel
"""

import csv
import dataclasses
import datetime
import decimal
import json
import math
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

PROGRAM = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/doppel").resolve()
ROWS, MADE_ROWS = 2000, 3000
GAP_SHARE = 0.2
SIGMAS = 5
UNITS = ("s", "ms", "us", "ns")
LEVELS = ["Köln", "Paris, France", 'the "Big" one', "two\nlines", "a"]
TEXT = pa.dictionary(pa.int32(), pa.string())  # how levels are written


@dataclasses.dataclass
class Case:
    """One column: its array, the kind expected, and the type it is written with (None: its own)."""

    array: pa.Array
    kind: str
    written: pa.DataType | None = None


def with_gaps(values, dice):
    return [None if dice.random() < GAP_SHARE else value for value in values]


def integers(dice, low, high):
    return [dice.randint(low, high) for _ in range(ROWS)]


def integer_cases(dice):
    cases = {}
    for bits in (8, 16, 32, 64):
        signed, unsigned = getattr(pa, f"int{bits}")(), getattr(pa, f"uint{bits}")()
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        cases[f"int{bits}"] = Case(pa.array(integers(dice, low, high), signed), "integer")
        cases[f"uint{bits} gaps"] = Case(pa.array(with_gaps(integers(dice, 0, high), dice), unsigned), "integer")
    cases["uint32 large"] = Case(pa.array(integers(dice, 2**31, 2**32 - 1), pa.uint32()), "integer")
    cases["few integers"] = Case(pa.array(integers(dice, 0, 1), pa.int32()), "integer")
    cases["duration"] = Case(pa.array(integers(dice, 0, 10**6), pa.duration("us")), "integer", pa.int64())
    return cases


def real_cases(dice):
    numbers = np.array([dice.gauss(0, 10) for _ in range(ROWS)])
    cents = [round(float(value), 2) for value in numbers]
    cases = {
        "float16": Case(pa.array(numbers.astype(np.float16)), "real", pa.float32()),
        "float32": Case(pa.array(with_gaps(numbers.tolist(), dice), pa.float32()), "real"),
        "float64": Case(pa.array(with_gaps((numbers * 1e200).tolist(), dice)), "real"),
        "float64 nan": Case(pa.array(np.where(np.arange(ROWS) % 4 == 0, np.nan, numbers)), "real"),
        "float32 cents": Case(pa.array(cents, pa.float32()), "decimal"),
        "float64 cents": Case(pa.array(with_gaps(cents, dice)), "decimal"),
        "float64 whole": Case(pa.array(with_gaps(np.round(numbers).tolist(), dice)), "integer"),
    }
    for name, kind in {"decimal128": pa.decimal128(9, 2), "decimal256": pa.decimal256(50, 2)}.items():
        values = [decimal.Decimal(f"{value:.2f}") for value in cents]
        cases[name] = Case(pa.array(with_gaps(values, dice), kind), "decimal", pa.float64())
    return cases


def time_cases(dice):
    days = integers(dice, -20_000, 40_000)
    cases = {
        "date32": Case(pa.array(with_gaps(days, dice), pa.int32()).cast(pa.date32()), "datetime"),
        "date64": Case(pa.array([day * 86_400_000 for day in days]).cast(pa.date64()), "datetime", pa.date32()),
    }
    for power, unit in enumerate(UNITS):
        instants = integers(dice, -(10 ** (3 * power)) * 10**9, 10 ** (3 * power) * 4 * 10**9)
        for zone in (None, "UTC", "Europe/Berlin", "+05:30"):
            values = pa.array(with_gaps(instants, dice) if zone != "UTC" else instants)
            cases[f"timestamp {unit} {zone}"] = Case(values.cast(pa.timestamp(unit, zone)), "datetime")
    return cases


def text_cases(dice):
    levels = with_gaps([dice.choice(LEVELS) for _ in range(ROWS)], dice)
    keys = [f"ID-{number:06d}" for number in dice.sample(range(10**6), ROWS)]
    texts = ["".join(dice.choices("abcdefgh ", k=dice.randint(5, 40))).strip() for _ in range(ROWS)]
    texts[-1] = texts[0]  # all distinct would be keys
    codes = pa.array(with_gaps(integers(dice, 0, 2), dice), pa.int8())
    return {
        "string": Case(pa.array(levels, pa.string()), "category", TEXT),
        "large string": Case(pa.array(levels, pa.large_string()), "category", TEXT),
        "binary": Case(pa.array(levels).cast(pa.binary()), "category", TEXT),
        "dictionary": Case(pa.array(levels).dictionary_encode(), "category", TEXT),
        "dictionary int8": Case(pa.DictionaryArray.from_arrays(codes, pa.array(["x", "y", "z"])), "category", TEXT),
        "key": Case(pa.array(keys), "key"),
        "large key": Case(pa.array(keys, pa.large_string()), "key", pa.string()),
        "text": Case(pa.array(texts), "text"),
        "bool": Case(pa.array([dice.random() < 0.3 for _ in range(ROWS)]), "boolean"),
        "bool gaps": Case(pa.array(with_gaps([dice.random() < 0.3 for _ in range(ROWS)], dice)), "boolean"),
    }


def constant_cases(dice):
    day, instant = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 13, 5, 7)
    constants = {pa.int8(): -7, pa.uint32(): 3_000_000_000, pa.int64(): 2**62, pa.float32(): 0.1, pa.float64(): 1 / 3,
                 pa.bool_(): True, pa.string(): "one"}
    instants = {pa.date32(): day, pa.timestamp("s"): instant, pa.timestamp("ms", "Europe/Berlin"): instant,
                pa.timestamp("ns"): instant}
    cases = {}
    for kind, value in {**constants, **instants}.items():
        array = pa.array(with_gaps([value] * ROWS, dice), kind)
        cases[f"constant {kind}"] = Case(array, "datetime" if kind in instants else "constant",
                                         TEXT if kind == pa.string() else None)
    return cases


def empty_cases():
    kinds = [pa.int16(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.date32(), pa.string(),
             pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("us", "UTC")]
    cases = {f"empty {kind}": Case(pa.nulls(ROWS, kind), "empty") for kind in kinds}
    cases["null"] = Case(pa.nulls(ROWS), "empty", pa.string())
    return cases


# Types that Parquet cannot keep, or that pyarrow does not write to it
def arrow_only_cases(dice):
    values = [decimal.Decimal(value).scaleb(-2) for value in integers(dice, -10**6, 10**6)]
    levels = [dice.choice(LEVELS) for _ in range(ROWS)]
    numbers = pa.array(integers(dice, 0, 9)).dictionary_encode()
    return {
        "decimal32": Case(pa.array(values, pa.decimal32(9, 2)), "decimal", pa.float64()),
        "decimal64": Case(pa.array(values, pa.decimal64(18, 2)), "decimal", pa.float64()),
        "string view": Case(pa.array(levels, pa.string_view()), "category", TEXT),
        "dictionary of integers": Case(numbers, "integer", pa.int64()),
    }


def shared_cases():
    dice = random.Random(7)
    return {**integer_cases(dice), **real_cases(dice), **time_cases(dice), **text_cases(dice),
            **constant_cases(dice), **empty_cases()}


def plain_values(column):
    """Present values as Python's own that compare: nanoseconds of instants (exact also beyond the year 2262), text."""
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    if pa.types.is_date64(kind):
        column = column.cast(pa.date32())
    scale = 1
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
        scale = 1000 ** (3 - UNITS.index(kind.unit))
    if pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    values = [value.decode() if isinstance(value, bytes) else value for value in column.to_pylist()]
    return [value * scale if scale > 1 else value for value in values if value is not None and value == value]


def table_of(cases):
    return pa.table({name: case.array for name, case in cases.items()})


def is_missing(column):
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))


def in_parquet(kind):
    """Parquet has no seconds: pyarrow, too, writes milliseconds."""
    return pa.timestamp("ms", kind.tz) if pa.types.is_timestamp(kind) and kind.unit == "s" else kind


class ReaderCase(unittest.TestCase):
    def setUp(self):
        owner = tempfile.TemporaryDirectory()
        self.addCleanup(owner.cleanup)
        self.folder = pathlib.Path(owner.name)

    def doppel(self, *arguments):
        done = subprocess.run([PROGRAM, *map(str, arguments), "-q"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def learn(self, path):
        """Fits the file; name -> kind of its columns."""
        self.doppel("fit", path, "-o", self.folder / "m.doppel", "--write-schema", self.folder / "schema.json")
        schema = json.loads((self.folder / "schema.json").read_text())
        return {column["name"]: column["kind"] for column in schema["columns"]}

    def generate(self, path):
        self.doppel("generate", self.folder / "m.doppel", "--rows", MADE_ROWS, "-o", path, "--seed", 5, "--overwrite")

    def made_tables(self):
        """The model's rows as Parquet and as Arrow, as pyarrow reads them."""
        for name in ("made.parquet", "made.arrow"):
            path = self.folder / name
            self.generate(path)
            table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
            table.validate(full=True)
            self.assertEqual(table.num_rows, MADE_ROWS)
            yield name, table

    def check_missing(self, original, made):
        share = pc.sum(is_missing(original)).as_py() / len(original)
        sigma = math.sqrt(share * (1 - share) / MADE_ROWS)
        made_share = pc.sum(is_missing(made)).as_py() / MADE_ROWS
        self.assertLessEqual(abs(made_share - share), SIGMAS * sigma, f"{made_share} missing, not {share}")

    def check_values(self, kind, original, made):
        if kind == "empty":
            return
        real, synthetic = plain_values(original), plain_values(made)
        if kind in ("category", "boolean"):
            self.assertEqual(set(synthetic), set(real))  # no level is so rare that 3,000 rows could lack it
        elif kind in ("key", "text"):
            self.assertTrue(all(isinstance(value, str) for value in synthetic))
            self.assertTrue(kind == "text" or len(set(synthetic)) == len(synthetic), "keys are not unique")
        else:
            self.assertGreaterEqual(min(synthetic), min(real))
            self.assertLessEqual(max(synthetic), max(real))


class TypedReaders(ReaderCase):
    def check_file(self, path, cases, stored=lambda kind: kind):
        """stored: from a type to what the file itself holds of it."""
        kinds = self.learn(path)
        self.assertEqual(list(kinds), list(cases))
        for name, case in cases.items():
            with self.subTest(path.name, column=name):
                self.assertEqual(kinds[name], case.kind)
        for made_name, table in self.made_tables():
            self.assertEqual(table.column_names, list(cases))
            for name, case in cases.items():
                with self.subTest(path.name, made=made_name, column=name):
                    made = table.column(name).combine_chunks()
                    wanted = stored(case.written or case.array.type)
                    self.assertEqual(made.type, in_parquet(wanted) if made_name.endswith("parquet") else wanted)
                    self.check_missing(case.array, made)
                    self.check_values(case.kind, case.array, made)

    def check_parquet(self, path, cases):
        self.check_file(path, cases, in_parquet)

    def test_parquet_of_every_type(self):
        cases = shared_cases()
        for compression, group_rows in (("snappy", 777), ("zstd", 333), ("gzip", ROWS)):
            path = self.folder / f"{compression}.parquet"
            pq.write_table(table_of(cases), path, compression=compression, row_group_size=group_rows,
                           data_page_version="2.0" if compression == "zstd" else "1.0",
                           use_dictionary=compression != "gzip")
            self.check_parquet(path, cases)

    def test_parquet_with_timestamps_of_96_bits(self):
        dice = random.Random(8)
        instants = pa.array(with_gaps(integers(dice, -(10**15), 4 * 10**15), dice)).cast(pa.timestamp("us"))
        cases = {"int96": Case(instants, "datetime"), "n": Case(pa.array(integers(dice, 0, 9)), "integer")}
        path = self.folder / "int96.parquet"
        pq.write_table(table_of(cases), path, use_deprecated_int96_timestamps=True)
        self.assertEqual(pq.ParquetFile(path).schema.column(0).physical_type, "INT96")
        self.check_parquet(path, cases)

    def test_parquet_by_pandas(self):
        dice = random.Random(9)
        frame = pd.DataFrame({
            "object": with_gaps([dice.choice(LEVELS) for _ in range(ROWS)], dice),
            "category": pd.Categorical([dice.choice(LEVELS) for _ in range(ROWS)]),
            "Int64": pd.array(with_gaps(integers(dice, -5, 900), dice), dtype="Int64"),
            "float": np.array([dice.random() for _ in range(ROWS)]),
            "boolean": pd.array(with_gaps([dice.random() < 0.5 for _ in range(ROWS)], dice), dtype="boolean"),
            "instant": pd.to_datetime(integers(dice, 0, 10**9), unit="s", utc=True),
        }, index=pd.Index(dice.sample(range(10**6), ROWS), name="row"))
        path = self.folder / "pandas.parquet"
        frame.to_parquet(path)
        table = pq.read_table(path)
        kinds = {"object": "category", "category": "category", "Int64": "integer", "float": "real",
                 "boolean": "boolean", "instant": "datetime", "row": "integer"}
        cases = {name: Case(table.column(name).combine_chunks(), kind, TEXT if kind == "category" else None)
                 for name, kind in kinds.items()}
        self.check_parquet(path, cases)

    def test_arrow_of_every_type(self):
        cases = {**shared_cases(), **arrow_only_cases(random.Random(10))}
        table = table_of(cases)
        for name, open_writer, codec in (("file", pa.ipc.new_file, None), ("lz4", pa.ipc.new_file, "lz4"),
                                         ("zstd stream", pa.ipc.new_stream, "zstd")):
            path = self.folder / f"{name}.arrow"
            with open_writer(path, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
                writer.write_table(table, max_chunksize=611)
            self.check_file(path, cases)

    def test_times_of_day_are_instants_of_the_first_day(self):
        dice = random.Random(11)
        millis = pa.array(integers(dice, 0, 86_399_999), pa.int32()).cast(pa.time32("ms"))
        micros = pa.array(with_gaps(integers(dice, 0, 86_399_999_999), dice)).cast(pa.time64("us"))
        table = pa.table({"ms": millis, "us": micros})
        path = self.folder / "times.parquet"
        pq.write_table(table, path)
        self.assertEqual(self.learn(path), {"ms": "datetime", "us": "datetime"})
        for _, made in self.made_tables():
            for unit in ("ms", "us"):
                self.assertEqual(made.schema.field(unit).type, pa.timestamp(unit))
                made_times = plain_values(made.column(unit))
                self.assertTrue(0 <= min(made_times) and max(made_times) < 86_400 * 10**9)
                self.check_missing(table.column(unit), made.column(unit))


def csv_columns():
    """Of each column: name, cells ("" where missing), kind expected, type expected in Parquet and Arrow files."""
    dice = random.Random(12)
    gaps = lambda texts: [text or "" for text in with_gaps(texts, dice)]
    first = datetime.date(1999, 12, 31)
    days = [first + datetime.timedelta(days=day) for day in integers(dice, 0, 9000)]
    return [
        (' count, of "odd"; things', gaps([str(value) for value in integers(dice, -9, 999)]), "integer", pa.int64()),
        ("price", gaps([f"{value / 100:.2f}" for value in integers(dice, 0, 10**6)]), "decimal", pa.float64()),
        ("real", [repr(dice.gauss(0, 1)) for _ in range(ROWS)], "real", pa.float64()),
        ("Ort\nund Straße", gaps([dice.choice(LEVELS) for _ in range(ROWS)]), "category", TEXT),
        ("day", gaps([day.isoformat() for day in days]), "datetime", pa.date32()),
        ("flag", [dice.choice(["True", "False"]) for _ in range(ROWS)], "boolean", pa.bool_()),
        ("id", [f"A{number:05d}" for number in dice.sample(range(10**5), ROWS)], "key", pa.string()),
        ("nothing", [""] * ROWS, "empty", pa.string()),
    ]


class CsvReader(ReaderCase):
    def check(self, path, missing=""):
        columns = csv_columns()
        kinds = self.learn(path)
        self.assertEqual(kinds, {name: kind for name, _, kind, _ in columns})
        for _, table in self.made_tables():
            for name, texts, _, wanted in columns:
                with self.subTest(path.name, column=name):
                    self.assertEqual(table.schema.field(name).type, wanted)
                    self.check_missing(pa.array([text or None for text in texts]), table.column(name))
        made = self.folder / "made.csv"
        self.generate(made)
        with open(made, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        self.assertEqual(header, [name for name, _, _, _ in columns])
        self.assertEqual(len(rows), MADE_ROWS)
        for (name, texts, kind, _), cells in zip(columns, zip(*rows)):
            with self.subTest(path.name, column=name):
                self.check_cells(kind, texts, cells, missing)

    def check_cells(self, kind, texts, cells, missing):
        """Cells have the form of the original's, and lie within its range or among its levels."""
        made = [cell for cell in cells if cell != missing]
        real = [text for text in texts if text]
        if kind in ("category", "boolean"):
            self.assertEqual(set(made), set(real))
        elif kind == "datetime":  # ISO dates are ordered as text
            self.assertTrue(min(real) <= min(made) and max(made) <= max(real))
            self.assertTrue(all(datetime.date.fromisoformat(cell) for cell in made))
        elif kind == "key":
            self.assertTrue(all(re.fullmatch("[A-Z][0-9]{5}", cell) for cell in made))
            self.assertEqual(len(set(made)), len(made))
        elif kind != "empty":
            numbers = [float(cell) for cell in made]
            self.assertGreaterEqual(min(numbers), min(map(float, real)))
            self.assertLessEqual(max(numbers), max(map(float, real)))
        if kind == "decimal":
            self.assertTrue(all(len(cell.partition(".")[2]) == 2 for cell in made))
        if kind == "integer":
            self.assertTrue(all(str(int(cell)) == cell for cell in made))

    def test_csv_by_pandas(self):
        frame = pd.DataFrame({name: texts for name, texts, _, _ in csv_columns()})
        typed = frame.replace("", None).astype({"real": float})
        variants = {
            "plain.csv": {},
            "semicolon.csv": {"sep": ";", "lineterminator": "\r\n"},
            "tab.tsv": {"sep": "\t", "quoting": csv.QUOTE_ALL},
            "bar.csv.gz": {"sep": "|", "encoding": "utf-8-sig"},
            "packed.csv.bz2": {"na_rep": "NA"},
        }
        for name, options in variants.items():
            typed.to_csv(self.folder / name, index=False, **options)
            self.check(self.folder / name, options.get("na_rep", ""))

    def test_csv_by_pythons_writer(self):
        columns = csv_columns()
        for dialect, encoding, delimiter in (("excel", "utf-8-sig", ","), ("unix", "utf-8", ";")):
            path = self.folder / f"{dialect}.csv"
            with open(path, "w", newline="", encoding=encoding) as file:
                writer = csv.writer(file, dialect=dialect, delimiter=delimiter)
                writer.writerow([name for name, _, _, _ in columns])
                writer.writerows(zip(*(texts for _, texts, _, _ in columns)))
            self.check(path)


if __name__ == "__main__":
    unittest.main()
