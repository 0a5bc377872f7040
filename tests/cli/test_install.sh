#!/usr/bin/env bash
# An installed program runs, and takes Arrow and oneDNN from beside itself, not from the folder that it was built in.
set -eu
program=$1
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$(dirname "$program")" --prefix "$prefix" >/dev/null
"$prefix/bin/doppel" --help | grep -q Usage
if ldd "$prefix/bin/doppel" | grep -E 'lib(arrow|parquet|dnnl)' | grep -v "$prefix/"; then
  echo "the installed program takes the libraries above from elsewhere"
  exit 1
fi
