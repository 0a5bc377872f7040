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
    """A fitted synthesizer and the seconds that fitting took."""
    tables = {"table": data}
    synthesizer = GaussianCopulaSynthesizer(Metadata.detect_from_dataframes(tables))
    start = time.perf_counter()
    synthesizer.fit(tables)
    return synthesizer, time.perf_counter() - start


def sdv_sampling(synthesizer, rows=100_000):
    start = time.perf_counter()
    synthesizer.sample(num_rows=rows)
    return rows / (time.perf_counter() - start)


def doppel_sampling(model, rows=30_000_000):
    """Rows a second of the whole process."""
    return rows / common.doppel("generate", model, "--rows", rows, "--sink", "null")


def main():
    common.loaded_machine_note()
    figures = []
    with tempfile.TemporaryDirectory(dir=common.REPOSITORY / "build") as name:
        for table in map(pathlib.Path, sys.argv[1:] or sys.exit(__doc__)):
            what = table.name.split(".")[0]
            model = pathlib.Path(name) / f"{what}.doppel"
            synthesizer, peer_seconds = sdv(pandas.read_csv(table))
            seconds = min(common.doppel("fit", table, "-o", model, "--model", "pca") for _ in range(3))
            figures.append((f"{what} fit", "SDV", peer_seconds, seconds, "s", False))
            peer, ours = common.best_in_turn(lambda: sdv_sampling(synthesizer), lambda: doppel_sampling(model))
            figures.append((f"{what} generate", "SDV", peer / 1e6, ours / 1e6, "M rows/s", True))
    common.print_table("Gaussian copula on real tables, all cores for both", figures)


main()
