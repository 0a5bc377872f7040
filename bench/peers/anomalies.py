"""Cells of adult that were swapped with another row's: found by doppel score, beside scikit-learn's isolation forest.

    .deps/bin/python bench/peers/anomalies.py --program build/release/doppel --data ../shared/data

One row in a hundred of the training table gets one cell of a column drawn at random from another row, a value other
than its own. The model is fitted on that very table, as an anomaly detector is used in earnest. Both detectors score
all rows; AUC is the area under the ROC curve of corrupted against untouched rows. The isolation forest gets the numbers
as they are and categories one-hot, which serves it better than codes do.
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy
import pandas
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score


def corrupt(table, share, random):
    """A copy with swapped cells, and for each row the column swapped or None."""
    table = table.copy()
    columns = list(table.columns)
    swapped = [None] * len(table)
    for row in random.choice(len(table), int(round(share * len(table))), replace=False):
        while True:
            column = columns[random.integers(len(columns))]
            value = table.at[random.integers(len(table)), column]
            if value != table.at[row, column]:
                break
        table.at[row, column] = value
        swapped[row] = column
    return table, swapped


def isolation_forest(table, seed):
    text = table.select_dtypes(exclude="number").columns
    features = pandas.get_dummies(table, columns=list(text)).astype("float32")
    forest = IsolationForest(n_estimators=300, random_state=seed, n_jobs=1).fit(features)
    return -forest.score_samples(features)


def doppel(program, table, folder, fit_options):
    data, model, scores = folder / "swapped.csv", folder / "swapped.doppel", folder / "scores.csv"
    table.to_csv(data, index=False)
    subprocess.run([program, "fit", data, "-o", model, "--model", "mixture", "-q", *fit_options], check=True)
    subprocess.run([program, "score", model, data, "-o", scores, "-q"], check=True)
    result = pandas.read_csv(scores)
    model.unlink(), scores.unlink(), data.unlink()
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/release/doppel")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fit", default="", help="further options of doppel fit")
    options = parser.parse_args()
    real = pandas.read_csv(pathlib.Path(options.data) / "adult_train.csv.gz", keep_default_na=False)
    figures = []
    for seed in range(options.seeds):
        table, swapped = corrupt(real, options.share, numpy.random.default_rng(seed))
        truth = numpy.array([column is not None for column in swapped])
        with tempfile.TemporaryDirectory() as folder:
            scores = doppel(options.program, table, pathlib.Path(folder), options.fit.split())
        # True positives: swapped rows among as many of the greatest surprises as there are swapped rows.
        called = numpy.argsort(-scores.surprise.to_numpy(), kind="stable")[: truth.sum()]
        found = [row for row in called if truth[row]]
        blamed = [scores.cause_1[row] == swapped[row] for row in found]
        all_blamed = [scores.cause_1[row] == swapped[row] for row in numpy.flatnonzero(truth)]
        figures.append([roc_auc_score(truth, scores.score), roc_auc_score(truth, scores.surprise),
                        roc_auc_score(truth, isolation_forest(table, seed)), len(found) / truth.sum(),
                        numpy.mean(blamed), numpy.mean(all_blamed)])
        print(f"seed {seed}: AUC score {figures[-1][0]:.3f}, surprise {figures[-1][1]:.3f}, "
              f"isolation forest {figures[-1][2]:.3f}; true positives {figures[-1][3]:.3f}, "
              f"swapped column first in {figures[-1][4]:.3f} of them, in {figures[-1][5]:.3f} of all swapped rows",
              flush=True)
    mean = numpy.mean(figures, axis=0)
    print(f"mean: AUC score {mean[0]:.3f}, surprise {mean[1]:.3f}, isolation forest {mean[2]:.3f}; "
          f"true positives {mean[3]:.3f}, swapped column first in {mean[4]:.3f} of them, in {mean[5]:.3f} of all")


if __name__ == "__main__":
    main()
