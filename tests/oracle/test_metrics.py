"""Scores of the evaluation beside SDMetrics' and scikit-learn's, on tables with gaps, constants, booleans and datetimes.

The program test_engine beside doppel scores the tables. Run by CTest; by hand:
.deps/bin/python tests/oracle/test_metrics.py build/release/doppel
Prints the largest difference and both programs' seconds.
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
import warnings

import numpy as np
import pandas as pd
from sdmetrics.reports.single_table import QualityReport
from sdmetrics.single_column import (
    BoundaryAdherence, CategoryAdherence, CategoryCoverage, MissingValueSimilarity, RangeCoverage)
from sdmetrics.single_table import DCROverfittingProtection
from sdmetrics.single_table.privacy.dcr_utils import calculate_dcr
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

warnings.filterwarnings("ignore")
PROGRAM = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/doppel").resolve()
DATA = pathlib.Path(os.environ.get("DOPPEL_DATA", pathlib.Path(__file__).parents[2] / ".." / "shared" / "data"))
TOLERANCE = 1e-6
DECIMALS = 2  # of the decimal columns
TURNS = 3  # the best of which is the time, on both sides
SDTYPES = {"real": "numerical", "integer": "numerical", "decimal": "numerical", "datetime": "datetime",
           "boolean": "boolean", "category": "categorical"}


def kind_of(series):
    if pd.api.types.is_bool_dtype(series.dropna().infer_objects()):
        return "boolean"
    if pd.api.types.is_datetime64_any_dtype(series):
        return "datetime"
    if pd.api.types.is_integer_dtype(series):
        return "integer"
    if series.name == "half empty":
        return "decimal"
    return "real" if pd.api.types.is_numeric_dtype(series) else "category"


def as_cells(series, kind, levels):
    if kind == "real":
        return [None if pd.isna(v) else float(v) for v in series]
    if kind == "decimal":
        return [None if pd.isna(v) else round(v * 10**DECIMALS) for v in series]
    if kind == "integer":
        return [int(v) for v in series]
    if kind == "datetime":
        return [None if pd.isna(v) else int(v.timestamp()) for v in series]
    codes = {level: code for code, level in enumerate(levels)}
    return [None if pd.isna(v) else codes.get(v, -1) for v in series]


def as_input(real, synthetic, holdout=None):
    columns = []
    for name in real:
        kind = kind_of(real[name])
        # A schema of real data alone would call the levels that only held-out rows have by one code.
        known = real[name] if holdout is None else pd.concat([real[name], synthetic[name], holdout[name]])
        levels = sorted(known.dropna().unique()) if kind in ("boolean", "category") else []
        columns.append({"name": name, "kind": kind, "decimals": DECIMALS, "levels": [str(v) for v in levels],
                        "real": as_cells(real[name], kind, levels), "synthetic": as_cells(synthetic[name], kind, levels)})
        if holdout is not None:
            columns[-1]["holdout"] = as_cells(holdout[name], kind, levels)
    return {"columns": columns}


def random_table(rows, seed, shift=0.0, new_level=False):
    random = np.random.default_rng(seed)
    x = random.normal(size=rows) + shift
    table = pd.DataFrame({
        "x": x,
        "y": np.where(random.random(rows) < 0.2, np.nan, 2 * x + random.normal(size=rows)),
        "many": random.integers(-5, 60, rows) ** 3,
        "constant": 3,
        "half empty": np.where(random.random(rows) < 0.5, np.nan, np.round(random.exponential(size=rows), 2)),
        "letter": random.choice(list("abcde") + (["new", "newer"] if new_level else []), rows),
        "one": "same",
    })
    table["copy"] = table["letter"].where(random.random(rows) < 0.8, "other")
    table.loc[random.random(rows) < 0.1, "copy"] = None
    table["flag"] = x + random.normal(size=rows) > 0
    table["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta((abs(x) * 400).astype(int), unit="D")
    table.loc[random.random(rows) < 0.15, "when"] = pd.NaT
    return table


def perturbed(table, seed):
    """Another half's rows with a fifth of every column's cells exchanged among rows."""
    random = np.random.default_rng(seed)
    table = table.sample(len(table), random_state=seed, replace=True).reset_index(drop=True)
    for name in table:
        chosen = np.flatnonzero(random.random(len(table)) < 0.2)
        table.loc[chosen, name] = table[name].to_numpy()[random.permutation(chosen)]
    return table


def cases():
    yield "random 2000", random_table(2000, 1), random_table(1500, 2, 0.3, True)
    yield "random 30", random_table(30, 3), random_table(40, 4)
    yield "with itself", random_table(500, 5), random_table(500, 5)
    for name in ("adult_train.csv.gz", "life_expectancy.csv"):
        if (DATA / name).exists():
            table = pd.read_csv(DATA / name, skipinitialspace=True)
            yield name, table, perturbed(table, 6)


def privacy_cases():
    """Training, synthetic and held-out rows, the latter as many as the first. SDMetrics divides by the range of each table
    it searches, this project by the training table's: two rows of either make the ranges the same."""
    def cut(table, ends, rows, seed):
        return pd.concat([table.sample(rows, random_state=seed), ends], ignore_index=True)

    for name, table in (("random", random_table(2000, 8)), *((name, pd.read_csv(DATA / name, skipinitialspace=True))
                        for name in ("adult_train.csv.gz", "life_expectancy.csv") if (DATA / name).exists())):
        numbers = [column for column in table if kind_of(table[column]) in ("real", "integer", "decimal", "datetime")]
        ends = table.iloc[:2].copy()
        for column in numbers:
            ends[column] = [table[column].min(), table[column].max()]
        training, holdout = cut(table, ends, 300, 1), cut(table, ends, 300, 2)
        holdout = holdout.astype(training.dtypes.to_dict())
        strangers = perturbed(table.iloc[:400].reset_index(drop=True), 3)
        memorised = pd.concat([training.iloc[:100], strangers.iloc[:100]], ignore_index=True)
        yield f"{name}, strangers", training, strangers.iloc[:250], holdout
        yield f"{name}, memorised", training, memorised, holdout


def sdtypes_of(table):
    return {"columns": {name: {"sdtype": SDTYPES[kind_of(table[name])]} for name in table}}


def report(real, synthetic, correlation=None, association=None):
    """The average scores, details of shapes and of trends, and seconds, of SDMetrics."""
    metadata = sdtypes_of(real)
    quality = QualityReport()
    quality.num_rows_subsample = None
    if correlation is not None:
        quality.real_correlation_threshold, quality.real_association_threshold = correlation, association
    seconds = math.inf
    for _ in range(TURNS):
        start = time.perf_counter()
        quality.generate(real, synthetic, metadata, verbose=False)
        seconds = min(seconds, time.perf_counter() - start)
    properties = quality.get_properties()["Score"].tolist()
    return ([*properties, quality.get_score()], quality.get_details("Column Shapes"),
            quality.get_details("Column Pair Trends"), seconds)


def learner_input():
    random = np.random.default_rng(7)
    features = random.normal(size=(600, 5))
    score = features @ [1, -2, 0.5, 0, 0.1] - 0.7
    labels = (score + random.logistic(size=600) > 0).astype(float)
    return {"features": features.ravel().tolist(), "columns": 5, "labels": labels.tolist(),
            "numbers": (score + random.normal(size=600)).tolist(), "scores": np.round(score, 1).tolist()}


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cases = list(cases())
        cls.learners = learner_input()
        cls.privacy = list(privacy_cases())
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "input.json").write_text(json.dumps(
                {"tables": [as_input(real, synthetic) for _, real, synthetic in cls.cases],
                 "privacy": [as_input(*tables) for _, *tables in cls.privacy], "learners": cls.learners}))
            subprocess.run([PROGRAM.parent / "tests" / "test_engine", "--gtest_filter=EvaluationForTheOracle*"],
                           env={**os.environ, "DOPPEL_ORACLE_FOLDER": folder}, check=True, stdout=subprocess.DEVNULL)
            cls.output = json.loads(pathlib.Path(folder, "output.json").read_text())

    def compare(self, ours, theirs, what):
        ours = math.nan if ours is None else ours
        self.assertEqual(math.isnan(ours), bool(pd.isna(theirs)), f"{what}: {ours}, SDMetrics {theirs}")
        if not math.isnan(ours):
            self.worst = max(self.worst, abs(ours - theirs))
            self.assertLess(abs(ours - theirs), TOLERANCE, f"{what}: {ours}, SDMetrics {theirs}")

    def test_quality_report_without_and_with_thresholds(self):
        for (name, real, synthetic), ours in zip(self.cases, self.output["tables"]):
            self.worst = 0
            totals, shapes, trends, classic_seconds = report(real, synthetic, 0, 0)
            for mine, theirs in zip(ours["classic"], totals):
                self.compare(mine, theirs, f"{name}: total")
            self.assertEqual(len(shapes), len(ours["columns"]))
            for mine, (_, theirs) in zip(ours["columns"], shapes.iterrows()):
                self.compare(mine["shape"], theirs["Score"], f"{name}: {theirs['Column']}")
            self.assertEqual(len(trends), len(ours["pairs"]))
            for mine, (_, theirs) in zip(ours["pairs"], trends.iterrows()):
                self.compare(mine["score"], theirs["Score"], f"{name}: {theirs['Column 1']} / {theirs['Column 2']}")
            totals, _, trends, seconds = report(real, synthetic)
            for mine, theirs in zip(ours["thresholds"], totals):
                self.compare(mine, theirs, f"{name}: total with thresholds")
            for mine, (_, theirs) in zip(ours["pairs"], trends.iterrows()):
                what = f"{name}: {theirs['Column 1']} / {theirs['Column 2']}"
                meets = theirs["Meets Threshold?"]
                self.assertEqual(mine["meets"], False if pd.isna(meets) else bool(meets), what)
                for key, column in (("real_correlation", "Real Correlation"), ("real_association", "Real Association")):
                    if not pd.isna(theirs[column]):
                        self.compare(mine[key], theirs[column], what)
            print(f"{name}: largest difference {self.worst:.1e}; {1e3 * ours['seconds']:.1f} ms, "
                  f"SDMetrics {1e3 * classic_seconds:.0f} ms without thresholds, {1e3 * seconds:.0f} ms with", file=sys.stderr)

    def test_single_column_metrics(self):
        self.worst = 0
        for (name, real, synthetic), ours in zip(self.cases, self.output["tables"]):
            for column, mine in zip(real, ours["columns"]):
                continuous = kind_of(real[column]) in ("real", "integer", "decimal", "datetime")
                metrics = {"missing": MissingValueSimilarity}
                if continuous:
                    metrics |= {"range_coverage": RangeCoverage, "boundary_adherence": BoundaryAdherence}
                else:
                    metrics |= {"category_coverage": CategoryCoverage, "category_adherence": CategoryAdherence}
                for key, metric in metrics.items():
                    theirs = metric.compute(real[column], synthetic[column])
                    self.compare(mine[key], theirs, f"{name}: {key} of {column}")
        print(f"single columns: largest difference {self.worst:.1e}", file=sys.stderr)

    def test_distances_to_the_closest_record(self):
        for (name, training, synthetic, holdout), ours in zip(self.privacy, self.output["privacy"]):
            self.worst = 0
            metadata, seconds = sdtypes_of(training), time.perf_counter()
            distances = [calculate_dcr(rows, searched, metadata).to_numpy(dtype=float) for rows, searched in
                         ((synthetic, training), (synthetic, holdout), (holdout, training))]
            seconds = time.perf_counter() - seconds
            for mine, theirs in ((ours["synthetic"], distances[0]), (ours["holdout"], distances[2])):
                self.compare(mine[0], np.percentile(theirs, 5), f"{name}: 5th percentile")
                self.compare(mine[1], np.median(theirs), f"{name}: median")
            to_training, to_holdout, _ = distances
            tied = np.abs(to_training - to_holdout) < 1e-7
            self.compare(ours["tied"], tied.mean(), f"{name}: ties")
            self.compare(ours["nearer"], ((to_training < to_holdout) & ~tied).mean() + tied.mean() / 2, f"{name}: nearer")
            breakdown = DCROverfittingProtection.compute_breakdown(training, synthetic, holdout, metadata, None)
            farther = 1 - ours["nearer"] + ours["tied"] / 2
            # They have no tolerance for ties: what rounding makes nearer counts.
            self.assertLessEqual(abs(breakdown["score"] - min(2 * farther, 1)), 2 * tied.mean() + TOLERANCE, name)
            rows = set(training.astype(str).agg("|".join, axis=1))
            self.assertEqual(ours["identical"], synthetic.astype(str).agg("|".join, axis=1).isin(rows).sum(), name)
            print(f"{name}: largest difference {self.worst:.1e}; {100 * ours['nearer']:.1f} % nearer, SDMetrics' score "
                  f"{breakdown['score']:.3f} in {seconds:.1f} s", file=sys.stderr)

    def test_linear_learners_and_area_under_the_curve(self):
        features = np.reshape(self.learners["features"], (-1, 5))
        labels, ours = self.learners["labels"], self.output["learners"]
        ridge = Ridge(alpha=1).fit(features, self.learners["numbers"])
        logistic = LogisticRegression(C=1, tol=1e-10, max_iter=1000).fit(features, labels)
        np.testing.assert_allclose(ours["ridge"], [*ridge.coef_, ridge.intercept_], atol=1e-9)
        np.testing.assert_allclose(ours["logistic"], [*logistic.coef_[0], *logistic.intercept_], atol=1e-5)
        scores = np.float32(self.learners["scores"])
        self.assertAlmostEqual(ours["auc"], roc_auc_score(labels, scores), places=12)


if __name__ == "__main__":
    unittest.main()
