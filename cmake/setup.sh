#!/usr/bin/env bash
# Installs what Doppelgänger needs on Debian 12: bash cmake/setup.sh [build|test|bench]
#   build  compiler, libraries, Arrow with Parquet, oneDNN, and the reports' chart library (the default)
#   test   build, and the Python packages that the tests take as oracles
#   bench  build, and what bench/peers/ compares with, in an environment of its own
# Debian packages go into the system (root or sudo is asked for only if one is missing), everything else into .deps and
# .deps-peers of this folder. Versions are pinned; what is there already is left alone. The log is build/setup.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

debian_packages=(ca-certificates g++ cmake ninja-build git python3 python3-venv libgtest-dev libbenchmark-dev
  libopenblas-dev liblapacke-dev libxgboost-dev nlohmann-json3-dev libcli11-dev libkainjow-mustache-dev libxxhash-dev libhwy-dev
  libpng-dev)
build_packages=(pyarrow==26.0.1 onednn-cpu-gomp==2023.2.0 onednn-devel-cpu-gomp==2023.2.0 vl-convert-python==1.9.0.post1)
test_packages=(numpy==2.4.6 pandas==2.3.3 python-dateutil==4.0.0 pytz==2026.6 tzdata==2026.6 scipy==1.17.1
  scikit-learn==1.9.1 joblib==1.6.0 cloudpickle==3.1.2 threadpoolctl==3.8.0 narwhals==2.29.0 safetensors==0.8.0 xgboost-cpu==3.2.0
  sdmetrics==0.32.0 copulas==0.14.1 plotly==7.1.0 packaging==26.3 tqdm==4.70.1
  nvidia-cuda-cuobjdump==13.5.37 nvidia-cuda-nvdisasm==13.5.37)  # the last two read compiled kernels
# SDV without torch (which only its neural synthesizers take: 4 GB), with boto3 (which it imports for its example data).
peer_packages=(pyarrow==26.0.1 numpy==2.4.6 pandas==2.3.3 python-dateutil==2.9.0.post0 six==1.17.0 pytz==2026.6 tzdata==2026.6
  scipy==1.17.1 scikit-learn==1.9.1 joblib==1.6.0 cloudpickle==3.1.2 threadpoolctl==3.8.0 narwhals==2.29.0 sdmetrics==0.32.0
  copulas==0.14.1 plotly==7.1.0 packaging==26.3 tqdm==4.70.1 sdv==2.0.0 rdt==2.0.0 Faker==40.54.0 PyYAML==6.0.3 graphviz==0.21
  platformdirs==4.14.7 typing_extensions==4.16.0 boto3==1.44.5 botocore==1.44.5 s3transfer==0.19.3 jmespath==1.1.0
  urllib3==2.8.0 onnxruntime==1.32.0 onnx==1.16.2 protobuf==5.29.5 flatbuffers==25.12.19)  # ONNX's: for Debian's NumPy, too

what=${1:-build}
case $what in
  build | bench) python_packages=("${build_packages[@]}") ;;
  test) python_packages=("${build_packages[@]}" "${test_packages[@]}") ;;
  *) echo "setup.sh: '$what' is not a set; take build, test or bench" >&2; exit 2 ;;
esac
mkdir -p build
log=build/setup.log
: >"$log"

fail() {
  echo "--- the end of $log:" >&2
  tail -n 15 "$log" >&2
  echo "setup.sh: error: $1" >&2
  exit 1
}

install_debian_packages() {
  command -v dpkg-query >/dev/null || fail "this is not Debian: install by hand ${debian_packages[*]}"
  local missing=() package as_root=()
  for package in "${debian_packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if (($(id -u) != 0)); then
    command -v sudo >/dev/null || fail "not root and no sudo; as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  echo "setup: installing ${#missing[@]} Debian packages and what they need: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120)
  local install=("${apt[@]}" install --no-install-recommends "${missing[@]}")
  # The package lists are fetched only where they are missing or too old to install from.
  "${install[@]}" >>"$log" 2>&1 && return
  "${apt[@]}" update >>"$log" 2>&1 || fail "apt-get update failed: is a Debian mirror reachable?"
  "${install[@]}" >>"$log" 2>&1 || fail "apt-get install failed"
}

# install_python_packages FOLDER PACKAGE==VERSION...: a virtual environment in FOLDER that holds exactly these versions.
install_python_packages() {
  local folder=$1 python=python3 stamp
  shift
  [[ -x /usr/bin/python3 ]] && python=/usr/bin/python3
  stamp=$folder/installed-$(printf '%s\n' "$@" | sha256sum | cut -c1-16)
  [[ -e $stamp ]] && "$folder/bin/python" -c '' 2>>"$log" && return
  echo "setup: installing $# Python packages into $folder"
  if ! "$folder/bin/python" -m pip --version >>"$log" 2>&1; then
    "$python" -m venv --clear "$folder" >>"$log" 2>&1 || fail "could not make a virtual environment in $folder"
  fi
  # --no-deps: the lists above name everything that is used, and nothing else comes in.
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: --retries 5 "$@" \
    >>"$log" 2>&1 || fail "pip install failed: is a Python package index reachable?"
  touch "$stamp"
}

# The wheel holds oneDNN's library, 55 MB, under three names: two become links.
link_copies_of_onednn() {
  local name
  for name in .deps/lib/libdnnl.so .deps/lib/libdnnl.so.3.2; do
    [[ -L $name ]] || ln -sf libdnnl.so.3 "$name"
  done
}

SECONDS=0
install_debian_packages
install_python_packages .deps "${python_packages[@]}"
link_copies_of_onednn
if [[ $what == bench ]]; then
  install_python_packages .deps-peers "${peer_packages[@]}"
fi
((SECONDS < 2)) || echo "setup: done in $SECONDS s"
