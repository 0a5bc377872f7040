"""A wide table whose law is known: clusters, each with factors of its own beside common ones, heavy tails, and gaps.

    .deps/bin/python bench/peers/wide_table.py --columns 300 --rows 20000 --out wide.csv [--holdout holdout.csv]

A row has a cluster, which shifts the columns and gives half of its factors their loadings; its numbers are then
exponentials (a third of the columns: heavy tails), cubes with a sign (a third) or as they are. A fifth of the columns
has gaps: half of them at random, half where the first factor is high. A category names the cluster in four of five
rows.
"""

import argparse

import numpy
import pandas

CLUSTERS = 6


def make(rows, columns, factors, gaps, seed):
    law, random = numpy.random.default_rng(1), numpy.random.default_rng(seed)
    common = law.normal(size=(columns, factors - factors // 2))
    own = law.normal(size=(CLUSTERS, columns, factors // 2))
    shift = law.normal(size=(CLUSTERS, columns)) * 0.7
    noise = law.uniform(0.3, 1.0, size=columns) * numpy.sqrt(factors)
    has_gaps = law.uniform(size=columns) < gaps
    cluster = random.choice(CLUSTERS, size=rows, p=law.dirichlet(numpy.full(CLUSTERS, 5.0)))
    x = random.normal(size=(rows, factors))
    z = x[:, : common.shape[1]] @ common.T + noise * random.normal(size=(rows, columns))
    for c in range(CLUSTERS):
        z[cluster == c] += x[cluster == c, common.shape[1] :] @ own[c].T
    z = z / numpy.sqrt(1.4 * factors) + shift[cluster]
    form = numpy.arange(columns) % 3
    values = numpy.where(form == 0, numpy.exp(1.5 * z), numpy.where(form == 1, z * numpy.abs(z), z))
    values = numpy.round(values, 4)
    by_chance = random.uniform(size=(rows, columns)) < 0.05
    by_factor = (x[:, :1] > 1.3) & (numpy.arange(columns) % 2 == 0)
    values[has_gaps & numpy.where(numpy.arange(columns) % 2 == 0, by_factor, by_chance)] = numpy.nan
    table = pandas.DataFrame(values, columns=[f"n{c}" for c in range(columns)])
    named = numpy.where(random.uniform(size=rows) < 0.8, cluster, random.integers(CLUSTERS, size=rows))
    table["kind"] = numpy.array(["red", "green", "blue", "white", "black", "grey"])[named]
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--columns", type=int, default=300)
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--factors", type=int, default=16)
    parser.add_argument("--gaps", type=float, default=0.2, help="share of the columns that have gaps")
    parser.add_argument("--out", required=True)
    parser.add_argument("--holdout", help="as many rows again, of the same law")
    arguments = parser.parse_args()
    for seed, path in enumerate([arguments.out, arguments.holdout]):
        if path:
            table = make(arguments.rows, arguments.columns, arguments.factors, arguments.gaps, seed)
            table.to_csv(path, index=False)


if __name__ == "__main__":
    main()
