"""A million rows and 20 columns fitted under a limit of memory: time, peak memory and quality.

    .deps/bin/python bench/peers/out_of_core.py --data ../shared/data [--rows 1000000] [--memory 512M,1GiB]

The table has the first 20 columns of life expectancy, learned and drawn to as many rows as asked for, in CSV and in
Parquet; a fifth more rows of the same model are held out. Rows that take more than an eighth of the limit are read from
the file at each pass. Peak memory is the process's resident set as the kernel reports it.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import subprocess
import tempfile
import time

import common

COLUMNS = 20


def make_tables(paths, folder, life, rows):
    """The training table in CSV and in Parquet, and the held-out one."""
    import pyarrow.csv
    import pyarrow.parquet

    model, drawn = folder / "life.doppel", folder / "drawn.parquet"
    common.doppel("fit", life, "-o", model, "-q")
    common.doppel("generate", model, "--rows", rows + rows // 5, "--seed", 1, "-o", drawn, "-q")
    table = pyarrow.parquet.read_table(drawn)
    table = table.select(table.column_names[:COLUMNS])
    pyarrow.csv.write_csv(table.slice(0, rows), paths[0])
    pyarrow.parquet.write_table(table.slice(0, rows), paths[1])
    pyarrow.parquet.write_table(table.slice(rows), paths[2])


def fit(table, model, memory):
    """Seconds of the wall clock and of the processor, and the peak in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen([common.DOPPEL, "fit", table, "-o", model, "--memory", memory, "-q"])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"doppel fit {table}: status {status}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=common.REPOSITORY.parent / "shared/data")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--memory", default="512M,1GiB", help="limits of fit")
    options = parser.parse_args()
    common.loaded_machine_note()
    with tempfile.TemporaryDirectory(dir=common.REPOSITORY / "build") as name:
        folder = pathlib.Path(name)
        csv, parquet, held_out = paths = [folder / file for file in ("train.csv", "train.parquet", "test.parquet")]
        # In a process of its own: the kernel counts what a process held before it became doppel, too.
        maker = multiprocessing.Process(
            target=make_tables, args=(paths, folder, options.data / "life_expectancy.csv", options.rows))
        maker.start()
        maker.join()
        model, double, found = folder / "m.doppel", folder / "double.parquet", folder / "found.json"
        for table in (csv, parquet):
            for memory in options.memory.split(","):
                wall, processor, peak = fit(table, model, memory)
                print(f"{options.rows:,} x {COLUMNS}, {table.name:13}  limit {memory:5}  wall {wall:.1f} s, "
                      f"CPU {processor:.1f} s, peak {peak:.0f} MiB", flush=True)
        common.doppel("generate", model, "--rows", options.rows, "--seed", 5, "-o", double, "-q")
        common.doppel("evaluate", "--real", parquet, "--synthetic", double, "--holdout", held_out, "--json", found, "-q")
        j = json.loads(found.read_text())
        for what, of in (("double", j), ("held-out real rows", j["holdout_scores"])):
            print(f"{what:20} shape error {100 * (1 - of['quality']['shapes']):.2f} %, "
                  f"trend error {100 * (1 - of['quality']['trends']):.2f} %, "
                  f"of strong pairs {100 * (1 - of['quality_with_thresholds']['trends']):.2f} %, "
                  f"detection AUC {of['detection_auc']:.3f}")
        print(f"nearer to training than to held-out rows: {100 * j['privacy']['nearer_to_training_share']:.1f} %")


if __name__ == "__main__":
    main()
