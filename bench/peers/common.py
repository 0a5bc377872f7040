"""What the peer scripts share: running doppel, timing, pinning to a core, and the table that they print."""

import os
import pathlib
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DOPPEL = os.environ.get("DOPPEL", str(REPOSITORY / "build/release/doppel"))


def doppel(*arguments, stdout=subprocess.DEVNULL):
    """Runs doppel to its end and returns the seconds of the whole process; its errors end the script."""
    start = time.perf_counter()
    done = subprocess.run([DOPPEL, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"doppel {' '.join(map(str, arguments))}\n{done.stderr}")
    return seconds


def pin_to_one_core():
    """Keeps this process and those that it starts on one core; to be called before numpy is imported."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"


def best_in_turn(peer, doppel, rounds=3):
    """The highest rate of each side over several rounds in which they take turns, so that what else the machine does
    meets both. Each of the two returns a rate."""
    pairs = [(peer(), doppel()) for _ in range(rounds)]
    return max(rate for rate, _ in pairs), max(rate for _, rate in pairs)


def rate_of(work, units, seconds=2.0, clock=time.perf_counter):
    """Units a second: repeats work(), each time doing `units` of it, for about `seconds` after one round of warm-up."""
    work()
    rounds, start = 0, clock()
    while (elapsed := clock() - start) < seconds:
        work()
        rounds += 1
    return rounds * units / elapsed


def write_normal_table(path, rows=200_000, columns=20, decimals=None):
    """A Parquet file of correlated float32 columns, the same for every run."""
    import numpy
    import pyarrow
    import pyarrow.parquet

    random = numpy.random.default_rng(20)
    values = random.standard_normal((rows, columns)) @ random.standard_normal((columns, columns)) + 10 * random.standard_normal(columns)
    if decimals is not None:
        values = values.round(decimals)
    values = values.astype(numpy.float32)
    table = pyarrow.table({f"x{i:02d}": values[:, i] for i in range(columns)})
    pyarrow.parquet.write_table(table, path)


def print_table(title, rows):
    """rows: (what, peer's name, peer's figure, doppel's figure, unit, higher is better)."""
    print(f"\n{title}")
    print(f"{'':34} {'peer':>14} {'doppel':>14}  {'':10} {'doppel is':>12}")
    for what, peer, peer_figure, doppel_figure, unit, higher_is_better in rows:
        ratio = doppel_figure / peer_figure if higher_is_better else peer_figure / doppel_figure
        print(f"{what + ', ' + peer:34} {peer_figure:14,.4g} {doppel_figure:14,.4g}  {unit:10} {ratio:11,.3g}x")


def loaded_machine_note():
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(f"machine: {cores} cores, load {load:.1f} over the last minute" + (", busy: repeat on an idle one" if load > 1.5 else ""))
