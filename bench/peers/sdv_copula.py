"""SDV's GaussianCopula against doppel on real tables: sdv_copula.py TABLE.csv[.gz]...

SDV fits a data frame that is already in memory and returns one; doppel reads the file, and generates to --sink null.
"""

import pathlib
import sys
import tempfile
import time
import warnings

import common

warnings.filterwarnings("ignore")
import pandas
from sdv.metadata import Metadata
from sdv.single_table import GaussianCopulaSynthesizer


def sdv(data):
    """(fitted synthesizer, seconds to fit, rows a second, the double of as many rows as the data has)."""
    tables = {"table": data}
    synthesizer = GaussianCopulaSynthesizer(Metadata.detect_from_dataframes(tables))
    start = time.perf_counter()
    synthesizer.fit(tables)
    fit_seconds = time.perf_counter() - start
    synthesizer.sample(num_rows=1000)
    rows = 100_000
    start = time.perf_counter()
    synthesizer.sample(num_rows=rows)
    return fit_seconds, rows / (time.perf_counter() - start)


def main():
    common.loaded_machine_note()
    figures = []
    with tempfile.TemporaryDirectory(dir=common.REPOSITORY / "build") as name:
        for table in map(pathlib.Path, sys.argv[1:] or sys.exit(__doc__)):
            what = table.name.split(".")[0]
            fit_seconds, rate = sdv(pandas.read_csv(table))
            model = pathlib.Path(name) / f"{what}.doppel"
            figures.append((f"{what} fit", "SDV", fit_seconds, common.doppel("fit", table, "-o", model), "s", False))
            rows = 30_000_000
            seconds = common.doppel("generate", model, "--rows", rows, "--sink", "null")
            figures.append((f"{what} generate", "SDV", rate / 1e6, rows / seconds / 1e6, "M rows/s", True))
    common.print_table("Gaussian copula on real tables, all cores for both", figures)


main()
