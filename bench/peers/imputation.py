"""Cells held out of adult's test rows and of a fifth of the WHO rows: filled by doppel impute --how mean, beside column
means and the regression of one Gaussian.

    .deps/bin/python bench/peers/imputation.py --program build/release/doppel --data ../shared/data

A tenth of the cells that are there is blanked at random. Errors: of numbers, the root mean square over the column's
standard deviation in the training rows, averaged over columns; of categories, the share of wrong levels, likewise. The
Gaussian is over standardised numbers and one-hot levels, with gaps handled by EM; a level filled is that of the
greatest conditional mean.
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy
import pandas


class Gaussian:
    """Of rows with NaN where unknown: maximum likelihood by EM, rows grouped by what they know."""

    def __init__(self, rows, iterations=8, ridge=1e-2):
        known = ~numpy.isnan(rows)
        self.mean = numpy.nanmean(rows, axis=0)
        self.covariance = numpy.cov(numpy.where(known, rows, self.mean).T) + ridge * numpy.eye(rows.shape[1])
        for _ in range(iterations if not known.all() else 1):
            filled, spread = self.fill(rows, with_spread=True)
            self.mean = filled.mean(axis=0)
            self.covariance = numpy.cov(filled.T, bias=True) + spread / len(rows) + ridge * numpy.eye(rows.shape[1])

    def fill(self, rows, with_spread=False):
        filled, spread = rows.copy(), numpy.zeros_like(self.covariance)
        known = ~numpy.isnan(rows)
        patterns, group = numpy.unique(known, axis=0, return_inverse=True)
        order = numpy.argsort(group, kind="stable")
        for pattern, of in zip(patterns, numpy.split(order, numpy.cumsum(numpy.bincount(group))[:-1])):
            there, gap = numpy.flatnonzero(pattern), numpy.flatnonzero(~pattern)
            if not len(gap):
                continue
            cross = self.covariance[numpy.ix_(gap, there)]
            gain = numpy.linalg.solve(self.covariance[numpy.ix_(there, there)], cross.T).T
            filled[numpy.ix_(of, gap)] = self.mean[gap] + (rows[numpy.ix_(of, there)] - self.mean[there]) @ gain.T
            spread[numpy.ix_(gap, gap)] += len(of) * (self.covariance[numpy.ix_(gap, gap)] - gain @ cross.T)
        return (filled, spread) if with_spread else filled


class OneHot:
    def __init__(self, training, numbers, categories):
        self.numbers, self.categories = numbers, categories
        self.mean, self.deviation = training[numbers].mean(), training[numbers].std()
        self.levels = {c: sorted(training[c].dropna().unique()) for c in categories}

    def encode(self, table):
        blocks = [((table[self.numbers] - self.mean) / self.deviation).to_numpy(float)]
        for c in self.categories:
            block = (table[c].to_numpy()[:, None] == numpy.array(self.levels[c], object)[None, :]).astype(float)
            block[table[c].isna()] = numpy.nan
            blocks.append(block)
        return numpy.hstack(blocks)

    def decode(self, rows):
        table = pandas.DataFrame(rows[:, : len(self.numbers)], columns=self.numbers)
        table = table * self.deviation + self.mean
        at = len(self.numbers)
        for c in self.categories:
            levels = self.levels[c]
            table[c] = numpy.array(levels, object)[rows[:, at : at + len(levels)].argmax(axis=1)]
            at += len(levels)
        return table


def errors(truth, filled, blank, training, numbers, categories):
    def wrong(c):
        return (truth[c][blank[c]].to_numpy() != filled[c][blank[c]].to_numpy()).mean()

    def distance(c):
        d = truth[c][blank[c]].to_numpy(float) - filled[c][blank[c]].to_numpy(float)
        return numpy.sqrt((d**2).mean()) / training[c].std()

    return numpy.mean([distance(c) for c in numbers]), numpy.mean([wrong(c) for c in categories])


def compare(name, training, test, program, fit_options):
    numbers = [c for c in training if pandas.api.types.is_numeric_dtype(training[c])]
    categories = [c for c in training if c not in numbers]
    random = numpy.random.default_rng(0)
    blank = pandas.DataFrame(random.random(test.shape) < 0.1, columns=test.columns) & test.notna()
    gaps = test.mask(blank)

    middle = gaps.copy()
    for c in training:
        middle[c] = gaps[c].fillna(training[c].mean() if c in numbers else training[c].mode()[0])
    codec = OneHot(training, numbers, categories)
    gaussian = codec.decode(Gaussian(codec.encode(training)).fill(codec.encode(gaps)))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        training.to_csv(folder / "training.csv", index=False)
        gaps.to_csv(folder / "gaps.csv", index=False)
        subprocess.run([program, "fit", folder / "training.csv", "-o", folder / "m.doppel", "--model", "mixture", "-q",
                        *fit_options], check=True)
        subprocess.run([program, "impute", folder / "m.doppel", folder / "gaps.csv", "-o", folder / "filled.csv",
                        "--how", "mean", "-q"], check=True)
        doppel = pandas.read_csv(folder / "filled.csv", keep_default_na=False, na_values=[""])
    for who, filled in (("column means", middle), ("one Gaussian", gaussian), ("doppel", doppel)):
        number, category = errors(test, filled, blank, training, numbers, categories)
        print(f"{name:8}  {who:14}  numbers {number:.3f} deviations, categories {100 * category:.1f} % wrong", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/release/doppel")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--fit", default="", help="further options of doppel fit")
    options = parser.parse_args()
    data = pathlib.Path(options.data)
    read = dict(keep_default_na=False, na_values=["", "?", " ?"])
    life = pandas.read_csv(data / "life_expectancy.csv", **read)
    held = numpy.random.default_rng(0).random(len(life)) < 0.2
    compare("life", life[~held].reset_index(drop=True), life[held].reset_index(drop=True), options.program,
            options.fit.split())
    compare("adult", pandas.read_csv(data / "adult_train.csv.gz", **read),
            pandas.read_csv(data / "adult_test.csv.gz", **read), options.program, options.fit.split())


if __name__ == "__main__":
    main()
