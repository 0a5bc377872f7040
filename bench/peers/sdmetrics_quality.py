"""SDMetrics' QualityReport on real tables: sdmetrics_quality.py TABLE.csv[.gz]...

Two questions: how long its report takes beside the same scores of `doppel evaluate`, both from tables in memory, and who
scores better in SDMetrics' own report, doppel's double or that of SDV's GaussianCopula, at as many rows as the original has.
"""

import json
import pathlib
import sys
import tempfile
import time
import warnings

import common

warnings.filterwarnings("ignore")
import pandas
from sdmetrics.reports.single_table import QualityReport
from sdv.metadata import Metadata
from sdv.single_table import GaussianCopulaSynthesizer


def quality(real, synthetic, metadata):
    """(score, seconds) of SDMetrics."""
    report = QualityReport()
    start = time.perf_counter()
    report.generate(real, synthetic, metadata, verbose=False)
    return report.get_score(), time.perf_counter() - start


def doppel_double(table, folder, rows):
    """The path of a CSV file with the double that doppel makes of a table, no options beyond file names."""
    model, double = folder / "model.doppel", folder / "double.csv"
    common.doppel("fit", table, "-o", model)
    with open(double, "w") as out:
        common.doppel("generate", model, "--rows", rows, "--format", "csv", "-o", "-", stdout=out)
    return double


def main():
    common.loaded_machine_note()
    times, scores = [], []
    with tempfile.TemporaryDirectory(dir=common.REPOSITORY / "build") as name:
        for table in map(pathlib.Path, sys.argv[1:] or sys.exit(__doc__)):
            what = table.name.split(".")[0]
            real = pandas.read_csv(table)
            metadata = Metadata.detect_from_dataframes({"table": real})
            columns = metadata.to_dict()["tables"]["table"]
            double = doppel_double(table, pathlib.Path(name), len(real))
            ours, seconds = quality(real, pandas.read_csv(double, dtype=real.dtypes.to_dict()), columns)
            synthesizer = GaussianCopulaSynthesizer(metadata)
            synthesizer.fit({"table": real})
            theirs, _ = quality(real, synthesizer.sample(num_rows=len(real))["table"], columns)
            scores.append((what, "SDV copula", theirs, ours, "quality", True))
            scores_file = pathlib.Path(name) / "scores.json"
            common.doppel("evaluate", "--real", table, "--synthetic", double, "--no-detection", "-q", "--json", scores_file)
            own_seconds = json.loads(scores_file.read_text())["quality_seconds"]
            times.append((what, "QualityReport", seconds, own_seconds, "s", False))
    common.print_table("Time to score a double", times)
    common.print_table("Score in SDMetrics' QualityReport", scores)


main()
