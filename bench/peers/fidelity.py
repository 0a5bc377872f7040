"""How good doubles of real tables are, by `doppel evaluate`: mean and standard deviation over seeds, beside real rows.

    .deps/bin/python bench/peers/fidelity.py --data ../shared/data [--tables adult,life] [--seeds 5] [--model vae]
        [--json FILE]

The same command lines for every table: fit, generate (as many rows as were learned from) and evaluate with no options
but file names, the seed and the target (and --model, where another than the default is asked about). Adult comes with test rows; a fifth of the others, chosen by one permutation,
is held out. "Real" is the floor: what the held-out rows score in the double's place, boosted trees trained on the real
rows, and 50 % for rows nearer to training than to held-out ones. Held-out tables are smaller than the doubles, so that
their errors have more of chance in them.
"""

import argparse
import gzip
import json
import pathlib
import statistics
import tempfile

import numpy

import common

TARGETS = {"adult": "income", "diamonds": "price", "life": "Life expectancy"}

# Name, and the figure of the double and of real rows in what `measure` returns.
FIGURES = [
    ("shape error, %", lambda j: 100 * (1 - j["quality"]["shapes"]),
     lambda j: 100 * (1 - j["holdout_scores"]["quality"]["shapes"])),
    ("trend error, %", lambda j: 100 * (1 - j["quality"]["trends"]),
     lambda j: 100 * (1 - j["holdout_scores"]["quality"]["trends"])),
    ("trend error of strong pairs, %", lambda j: 100 * (1 - j["quality_with_thresholds"]["trends"]),
     lambda j: 100 * (1 - j["holdout_scores"]["quality_with_thresholds"]["trends"])),
    ("XGBoost, AUC or R2", lambda j: utility(j, "trained_on_synthetic"), lambda j: utility(j, "trained_on_real")),
    ("detection AUC", lambda j: j["detection_auc"], lambda j: j["holdout_scores"]["detection_auc"]),
    ("nearer to training, %", lambda j: 100 * j["privacy"]["nearer_to_training_share"], lambda j: 50.0),
    ("fit, s", lambda j: j["fit_seconds"], lambda j: None),
]

# What a figure's mean must be at most or at least; diamonds' R2 is a share of real's.
AIMS = {
    ("adult", "shape error, %"): (0, 0.45),
    ("adult", "trend error, %"): (0, 1.2),
    ("adult", "trend error of strong pairs, %"): (0, 1.6),
    ("adult", "XGBoost, AUC or R2"): (0.916, 1),
    ("adult", "detection AUC"): (0, 0.57),
    ("adult", "nearer to training, %"): (48, 52),
    ("adult", "fit, s"): (0, 60),
    ("diamonds", "XGBoost, AUC or R2"): ("0.97 of real's", 1),
    ("life", "XGBoost, AUC or R2"): (0.90, 1),
    ("life", "nearer to training, %"): (0, 57),
}


def utility(j, trained_on):
    boosting = next(learner for learner in j["utility"]["learners"] if "boost" in learner["learner"])
    return boosting[trained_on][j["utility"]["headline"]]


def split(path, folder, name):
    """Training and held-out rows, as the file has them."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as file:
        head, *rows = file.read().splitlines()
    order = numpy.random.default_rng(0).permutation(len(rows))
    training = int(0.8 * len(rows))
    parts = []
    for part, chosen in (("train", order[:training]), ("test", order[training:])):
        parts.append(folder / f"{name}_{part}.csv")
        parts[-1].write_text("\n".join([head] + [rows[i] for i in chosen]) + "\n")
    return parts


def tables(data, folder):
    return {
        "adult": [data / "adult_train.csv.gz", data / "adult_test.csv.gz"],
        "diamonds": split(data / "diamonds.csv.gz", folder, "diamonds"),
        "life": split(data / "life_expectancy.csv", folder, "life"),
    }


def measure(folder, training, held_out, target, seed, kind):
    model, double, fitted, found = (folder / name for name in ("model", "double.csv", "fit.json", "evaluate.json"))
    common.doppel("fit", training, "-o", model, "--model", kind, "--seed", seed, "--json", fitted, "-q")
    report = json.loads(fitted.read_text())
    common.doppel("generate", model, "--rows", report["rows"], "--seed", seed, "-o", double, "--overwrite", "-q")
    common.doppel("evaluate", "--real", training, "--synthetic", double, "--holdout", held_out, "--target", target,
                  "--json", found, "-q")
    return json.loads(found.read_text()) | {"fit_seconds": report["seconds"]}


def summary(values):
    if any(value is None for value in values):
        return None
    return {"mean": statistics.fmean(values), "deviation": statistics.stdev(values) if len(values) > 1 else 0.0}


def aim_of(table, figure, real):
    lower, upper = AIMS.get((table, figure), (None, None))
    if isinstance(lower, str):
        lower = float(lower.split()[0]) * real["mean"]
    return lower, upper


def summarise(table, runs):
    rows = []
    for figure, of_double, of_real in FIGURES:
        row = {"figure": figure, "double": summary([of_double(run) for run in runs]),
               "real": summary([of_real(run) for run in runs]), "by_seed": [of_double(run) for run in runs]}
        row["aim_from"], row["aim_to"] = aim_of(table, figure, row["real"])
        rows.append(row)
    return rows


def show(figure, value):
    if value is None:
        return ""
    decimals = 4 if figure.startswith("XGBoost") else 3 if "AUC" in figure else 2
    spread = f" +- {value['deviation']:.{decimals}f}" if value["deviation"] else ""
    return f"{value['mean']:.{decimals}f}{spread}"


def show_aim(row):
    if row["aim_from"] is None:
        return ""
    met = row["aim_from"] <= row["double"]["mean"] <= row["aim_to"]
    return f"{row['aim_from']:.4g} to {row['aim_to']:.4g}: " + ("met" if met else "not met")


def print_table(table, rows, seeds):
    print(f"\n{table}, {seeds} seeds\n{'':32}{'double':>20}{'real':>20}   aim")
    for row in rows:
        double, real = (show(row["figure"], row[of]) for of in ("double", "real"))
        print(f"{row['figure']:32}{double:>20}{real:>20}   {show_aim(row)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=common.REPOSITORY.parent / "shared/data")
    parser.add_argument("--tables", default=",".join(TARGETS), help="some of " + ", ".join(TARGETS))
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 on")
    parser.add_argument("--doppel", default=common.DOPPEL, help="the program")
    parser.add_argument("--model", default="auto", help="fit's --model")
    parser.add_argument("--json", type=pathlib.Path, help="figures of each seed, and their means")
    options = parser.parse_args()
    common.DOPPEL = options.doppel
    common.loaded_machine_note()
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        known = tables(options.data, folder)
        for table in options.tables.split(","):
            runs = [measure(folder, *known[table], TARGETS[table], seed, options.model) for seed in range(options.seeds)]
            results[table] = summarise(table, runs)
            print_table(table, results[table], options.seeds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
