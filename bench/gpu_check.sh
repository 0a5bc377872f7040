#!/usr/bin/env bash
# Everything that needs a CUDA device, in one command of under ten minutes.
#   bash bench/gpu_check.sh [FOLDER]            builds for this machine's GPU, and checks and measures on it
#   bash bench/gpu_check.sh --pack FILE [BUILD] needs no GPU: packs the programs of BUILD (build/gpu, built for all GPUs if it
#                                               is not given) with all they need into FILE, .tar.gz or .tar.xz (a third less). On a
#                                               GPU server without compiler or network, unpack it and run its bench/gpu_check.sh.
#   bash bench/gpu_check.sh --dry-run BUILD [FOLDER]
#                                               needs no GPU: the same steps in small on the emulated device of BUILD
#                                               (build/release), but for what only a device has (sanitizers, times, profiles)
#                                               and for the test programs, which ctest runs
# Checks: the CUDA tests on the device, again under compute-sanitizer where that is installed; the instruction sets of this
# CPU; mixtures of tables learned by CUDA, to the CPU's bytes; tables written by CUDA, under conditions too, made again by the
# CPU and compared (verify --recompute); scores of rows and of images on both; networks of MNIST and of a table, and a mixture
# of a wide table, learned on CUDA twice, to the same bytes, and beside the CPU's. Measures: rows/s and seconds of learning of
# both backends, the sampler alone (bench_sampling), steps of training (bench_networks, bench_em), tables compared
# (bench_evaluation), and where Nsight Compute is installed its kernels against the device's ceilings. All of it goes into FOLDER
# (build/gpu-check), the verdict into FOLDER/summary.txt.
# Tables are taken from DOPPEL_DATA (../shared/data); without them that part is skipped.
# Status 0: all passed. 1: something failed. 77: there is no device here, nothing was done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=build/gpu
targets=(doppel doppel_cuda test_cuda test_simt test_kernels bench_sampling bench_networks bench_em bench_evaluation)
programs=(doppel libdoppel_cuda.so libdoppel_cudnn.so tests/simt/test_cuda tests/test_kernels bench/bench_{sampling,networks,em,evaluation})  # that are packed
tables=(adult_train.csv.gz life_expectancy.csv)
data=${DOPPEL_DATA:-../shared/data}

pack() {  # pack FILE [BUILD]
  local file=$1
  if [[ -n ${2:-} ]]; then
    build=$2
  else
    cmake --preset cuda -B "$build"
    cmake --build "$build" -j "$(nproc)" --target "${targets[@]}"
  fi
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  mkdir -p "$folder/lib" "$folder/data"
  local program library
  for program in "${programs[@]}"; do
    [[ -e $build/$program || $program != libdoppel_cudnn.so ]] || continue
    install -D "$build/$program" "$folder/build/gpu/$program"
    # Libraries that a server with CUDA does not have by itself.
    while read -r library; do
      case $library in */libc.so* | */libm.so* | */libdl.so* | */librt.so* | */libpthread.so* | */ld-linux* | */libcu* | */libnv* | */libstdc++* | */libgcc_s*) ;; *) cp -Ln "$library" "$folder/lib/" ;; esac
    done < <(ldd "$build/$program" | grep -oE '/[^ ]+')
  done
  find "$folder/build" "$folder/lib" -type f -exec strip --strip-debug {} +
  install -D bench/gpu_check.sh "$folder/bench/gpu_check.sh"
  install -D -t "$folder/tests/golden" tests/golden/*
  for table in "${tables[@]}"; do [[ ! -e $data/$table ]] || cp "$data/$table" "$folder/data/"; done
  [[ ! -e $data/mnist ]] || cp -r "$data/mnist" "$folder/data/"
  git log -1 --oneline >"$folder/packed"
  tar -C "$folder" -caf "$file" .
  echo "gpu_check: packed into $file ($(du -h "$file" | cut -f1))"
}
if [[ ${1:-} == --pack ]]; then
  pack "${2:?--pack FILE.tar.gz}" "${3:-}"
  exit
fi

is_dry=
if [[ ${1:-} == --dry-run ]]; then
  is_dry=yes build=${2:?--dry-run BUILD}
  shift 2
fi

no_device() {
  echo "gpu_check: $1; nothing was done" >&2
  exit 77
}
if [[ ! $is_dry ]]; then
  command -v nvidia-smi >/dev/null || no_device 'no nvidia-smi: no CUDA driver on this machine'
  capabilities=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null) || no_device 'nvidia-smi reaches no CUDA driver'
  architectures=$(tr -d '. ' <<<"$capabilities" | grep -E '^[0-9]+$' | sort -u | paste -sd';' -) || no_device 'no CUDA device'
fi
if [[ $is_dry ]]; then
  [[ -x $build/tests/simt/doppel_simt ]] || { echo "gpu_check: $build has no tests/simt/doppel_simt" >&2; exit 1; }
elif [[ -e packed ]]; then
  data=data golden_elsewhere=yes  # the golden tests look where they were built
  export LD_LIBRARY_PATH=$PWD/lib:$PWD/$build:/usr/local/cuda/lib64:${LD_LIBRARY_PATH:-}
elif ! { command -v "${CUDACXX:-nvcc}" >/dev/null || [[ -x /usr/local/cuda/bin/nvcc ]]; }; then
  no_device 'a CUDA device, but no nvcc to compile for it (see --pack)'
fi

results=$(realpath -m "${1:-build/gpu-check}")
mkdir -p "$results"
summary=$results/summary.txt
: >"$summary"
failures=0
SECONDS=0
say() { printf 'gpu_check: %s\n' "$*" | tee -a "$summary"; }
step() {  # step NAME SECONDS COMMAND...: runs it with its output in NAME.txt; at most so many seconds
  local name=$1 limit=$2 status=0 began=$SECONDS
  shift 2
  timeout "$limit" "$@" >"$results/$name.txt" 2>&1 || status=$?
  if ((status == 0)); then
    say "$name: passed in $((SECONDS - began)) s"
  else
    ((status != 124)) || echo "stopped after $limit s" >>"$results/$name.txt"
    say "$name: FAILED (status $status after $((SECONDS - began)) s), see $results/$name.txt"
    failures=$((failures + 1))
  fi
  return "$status"
}

doppel=$build/doppel tests=$build/tests/simt/test_cuda
if [[ $is_dry ]]; then
  doppel=$build/tests/simt/doppel_simt
  say 'dry run: the device is emulated, and tables and images are few'
else
  { nvidia-smi; nvidia-smi -q -d CLOCK,POWER; cat packed 2>/dev/null || git log -1 --oneline; lscpu | head -n 30; } \
    >"$results/machine.txt" 2>&1 || true
  say "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1), compute capability $architectures, $(nproc) cores"
fi

if [[ ! $is_dry && ! -e packed ]]; then
  step configure 120 cmake --preset cuda -B "$build" "-DCMAKE_CUDA_ARCHITECTURES=$architectures" || exit 1
  step build 300 cmake --build "$build" -j "$(nproc)" --target "${targets[@]}" || exit 1
fi

# ---- is it right?

export OPENBLAS_NUM_THREADS=1
[[ -e packed || $is_dry ]] || step emulated 60 "$build/tests/simt/test_simt" || true  # its reports need debug information
[[ $is_dry ]] || step instruction_sets 60 "$build/tests/test_kernels" ${golden_elsewhere:+--gtest_filter=-Golden.*} || true
if [[ ! $is_dry ]] && step device 120 "$tests"; then
  # One test is for machines without a device; any other that was skipped is a device that was not tested.
  skipped=$(grep -E '^\[  SKIPPED \] .*ms\)$' "$results/device.txt" | grep -vc WithoutADevice || true)
  ((skipped == 0)) || { say "device: FAILED, $skipped tests were skipped"; failures=$((failures + 1)); }
fi
cudnn=$build/libdoppel_cudnn.so
if [[ -e $cudnn ]] && ! ldd "$cudnn" | grep -q 'not found'; then
  [[ $is_dry ]] || step device_patches 60 env DOPPEL_CUDNN=0 "$tests" --gtest_filter='*Networks*:*Trainers*:*Images*' || true
else
  say 'no cuDNN here: images are convolved by products of patches'
  cudnn=
fi
if command -v compute-sanitizer >/dev/null && [[ ! $is_dry ]]; then
  for tool in memcheck racecheck initcheck synccheck; do
    step "$tool" 90 compute-sanitizer --tool "$tool" --error-exitcode 1 "$tests" --gtest_filter='Device/*' || true
  done
elif [[ ! $is_dry ]]; then
  say 'no compute-sanitizer here: memory, races, initialisation and barriers were not checked on the device'
fi

# ---- tables from end to end

work=$(mktemp -d -p "$([[ -w /dev/shm ]] && echo /dev/shm || echo /tmp)")
trap 'rm -rf "$work"' EXIT
rate() {  # rate MODEL BACKEND ROWS [--format ...]: says rows/s
  local name=$1 backend=$2 rows=$3
  shift 3
  "$doppel" generate "$work/$name.doppel" --rows "$rows" --backend "$backend" --sink null "$@" -q --json "$results/rate.json" &&
    say "$name, $backend${*:+, $*}: $(grep -oE '"(rows_per_s|peak_memory_bytes)": [0-9.e+]+' "$results/rate.json" | paste -sd' ')"
}
say_seconds() { say "$1: $(grep -oE '"seconds": [0-9.e+-]+' "$results/fit.json" | paste -sd' ')"; }
check_table() {  # check_table NAME TABLE MODEL-KIND: learned and written by CUDA, made again by the CPU; rows/s of both
  local name=$1 table=$2 kind=$3 epochs='' compared=5M cpu=500M cuda=1e9 encoded=20M
  [[ $kind != vae ]] || epochs='--epochs 2' compared=1M cpu=10M cuda=100M encoded=2M  # how well it learned changes no speed
  [[ ! $is_dry ]] || compared=200 cpu=200 cuda=200 encoded=200
  "$doppel" fit "$table" -o "$work/$name.doppel" --model "$kind" $epochs --backend cpu -q --json "$results/fit.json"
  say_seconds "$name, learned, cpu"
  if [[ $kind == mixture ]]; then  # of others CUDA's libraries make other bytes
    "$doppel" fit "$table" -o "$work/cuda.doppel" --backend cuda -q --json "$results/fit.json"
    say_seconds "$name, learned, cuda"
    cmp "$work/$name.doppel" "$work/cuda.doppel"
  fi
  "$doppel" generate "$work/$name.doppel" --rows "$compared" --backend cuda --format raw -o "$work/rows" -q
  "$doppel" verify "$work/rows" --recompute 100% --model "$work/$name.doppel" --backend cpu
  rm -rf "$work/rows"
  rate "$name" cpu "$cpu"
  rate "$name" cuda "$cuda"
  ((devices < 2)) || rate "$name" cuda:all "$cuda"
  rate "$name" cpu "$encoded" --format parquet
  rate "$name" cuda "$encoded" --format parquet
}
check_conditions() {  # check_conditions NAME CONDITIONS: rows that meet them, written by CUDA, made again by the CPU; rows/s of both
  local name=$1 compared=1M cpu=50M cuda=500M
  [[ ! $is_dry ]] || compared=200 cpu=200 cuda=200
  "$doppel" generate "$work/$name.doppel" --where "$2" --rows "$compared" --backend cuda --format raw -o "$work/rows" -q
  "$doppel" verify "$work/rows" --recompute 100% --model "$work/$name.doppel" --backend cpu
  rm -rf "$work/rows"
  rate "$name" cpu "$cpu" --where "$2"
  rate "$name" cuda "$cuda" --where "$2"
}
check_scores() {  # check_scores NAME TABLE: a mixture's scores of the table on both, the same bytes; rows/s of both
  local name=$1 table=$2 backend
  for backend in cpu cuda; do
    "$doppel" score "$work/$name.doppel" "$table" --backend "$backend" -o "$work/scores-$backend.csv" -q --json "$results/rate.json" &&
      say "$name, $backend, scores: $(grep -oE '"rows_per_s": [0-9.e+]+' "$results/rate.json")"
  done
  cmp "$work/scores-cpu.csv" "$work/scores-cuda.csv"
  rm "$work"/scores-*.csv
}
export -f check_table check_conditions check_scores rate say say_seconds
devices=$([[ $is_dry ]] && echo 1 || nvidia-smi -L | wc -l)
export doppel work results summary is_dry devices
if [[ $is_dry ]]; then  # the first rows of tables, digits of two steps of training
  mkdir -p "$work/data/mnist"
  for table in "${tables[@]}"; do
    [[ ! -e $data/$table ]] || (gzip -cdf "$data/$table" || true) | head -n 201 >"$work/data/${table%.gz}"
  done
  tables=("${tables[@]%.gz}")
  for file in images-idx3:$((16 + 256 * 784)) labels-idx1:$((8 + 256)); do  # with the header's number of images
    from=$data/mnist/train-${file%:*}-ubyte.gz to=$work/data/mnist/train-${file%:*}-ubyte
    [[ -e $from ]] || continue
    (gzip -dc "$from" || true) | head -c "${file#*:}" >"$to"
    printf '\0\0\1\0' | dd of="$to" bs=1 seek=4 conv=notrunc status=none
  done
  data=$work/data
fi
for table in "${tables[@]}"; do
  [[ -e $data/$table ]] || { say "no $data/$table: skipped"; continue; }
  for kind in mixture pca vae; do
    [[ ! ($is_dry && $kind == vae && $table == adult*) ]] || continue  # half a minute there: one table's is enough
    step "${table%%[_.]*}-$kind" 120 bash -ec "check_table ${table%%[_.]*}-$kind '$data/$table' $kind" || true
  done
  [[ $table != adult* ]] || for conditions in 'age>=60' 'age>=60 and hours-per-week<30 and fnlwgt>200000'; do
    step "adult-where-${#conditions}" 60 bash -ec "check_conditions adult-mixture '$conditions'" || true
  done
  step "${table%%[_.]*}-scores" 60 bash -ec "check_scores ${table%%[_.]*}-mixture '$data/$table'" || true
done

# ---- networks from end to end

learn() {  # learn DATA MODEL BACKEND FILE OPTION...: says how long it took and the last loss of images held out
  local data=$1 model=$2 backend=$3 file=$4
  shift 4
  "$doppel" fit "$data" -o "$work/$file.doppel" --model "$model" "$@" --seed 1 --backend "$backend" -q --json "$results/fit.json" &&
    say "$(basename "$data"), $model, $backend: $(grep -oE '"(seconds|held_out_nats_per_image)": [0-9.e+-]+' "$results/fit.json" | paste -sd' ')"
}
check_training() {  # check_training DATA MODEL OPTION...: twice to the same bytes, and on the CPU
  local file=learned-$2
  learn "$1" "$2" cuda "$file" "${@:3}"
  learn "$1" "$2" cuda again "${@:3}"
  cmp "$work/$file.doppel" "$work/again.doppel"
  learn "$1" "$2" cpu "$file-cpu" "${@:3}"
}
score_on_both() {  # score_on_both WHAT MODEL DATA: the mean on both, the same but for rounding; seconds of both
  local backend mean first=
  for backend in cpu cuda; do
    "$doppel" score "$2" "$3" --backend "$backend" -q --json "$results/scores.json"
    mean=$(grep -oE '"mean_nats": [0-9.e+-]+' "$results/scores.json" | head -n 1 | cut -d' ' -f2)
    say "$(basename "$3"), $1, scores, $backend: mean $mean nats, $(grep -oE '"seconds": [0-9.e+-]+' "$results/scores.json")"
    : "${first:=$mean}"
  done
  awk -v a="$first" -v b="$mean" 'BEGIN { d = a - b; exit !(d * d < 1e-18 * a * a) }'
}
check_codes() {  # check_codes DATA: a PCA's scores of images, which take its codes and back
  "$doppel" fit "$1" -o "$work/codes.doppel" --model pca --backend cpu -q
  score_on_both pca "$work/codes.doppel" "$1"
}
export -f check_training check_codes score_on_both learn
digits=$data/mnist/train-images-idx3-ubyte$([[ $is_dry ]] || echo .gz) table=$data/life_expectancy.csv
if [[ -e $digits ]]; then
  models=(vae-dense vae cnn) epochs=2
  [[ ! $is_dry ]] || models=(vae-dense) epochs=1  # convolutions take minutes there
  step codes-pca 60 bash -ec "check_codes '$digits'" || true
  for model in "${models[@]}"; do
    step "train-$model" 150 bash -ec "check_training '$digits' $model --epochs $epochs" || true
  done
else
  say "no $digits: no network was trained"
fi
[[ ! -e $table ]] || step train-table 90 bash -ec "check_training '$table' vae --epochs $([[ $is_dry ]] && echo '1 --latent 2' || echo 5)" || true
# 4,096 rows of 256 numbers of eight factors: members are factor analysers.
awk -v rows="$([[ $is_dry ]] && echo 300 || echo 4096)" 'BEGIN {
  srand(1)
  for (c = 0; c < 256; ++c) { printf "%sn%d", c ? "," : "", c; for (k = 0; k < 8; ++k) w[c, k] = rand() - 0.5 }
  print ""
  for (r = 0; r < rows; ++r) {
    for (k = 0; k < 8; ++k) x[k] = rand() + rand() + rand() - 1.5
    for (c = 0; c < 256; ++c) {
      z = rand() - 0.5; for (k = 0; k < 8; ++k) z += w[c, k] * x[k]
      printf "%s%s", c ? "," : "", rand() < 0.02 ? "" : sprintf("%.4f", z)
    }
    print ""
  }
}' >"$work/wide.csv"
step train-wide 120 bash -ec "check_training '$work/wide.csv' mixture --members $([[ $is_dry ]] && echo 2 || echo 16)" || true
step wide-scores 60 bash -ec "score_on_both mixture '$work/learned-mixture.doppel' '$work/wide.csv'" || true

# ---- how fast is it?

if [[ $is_dry ]]; then
  say "dry run: $failures failures in $SECONDS s; everything is in $results"
  exit $((failures > 0))
fi

step sampling 90 "$build/bench/bench_sampling" --benchmark_filter='cuda|mixture.*AVX|mixed.*AVX' \
  --benchmark_min_time=0.2 --benchmark_out="$results/sampling.json" --benchmark_out_format=json || true
step steps 90 "$build/bench/bench_networks" --benchmark_filter='^train/.*/cuda' --benchmark_min_time=0.5 || true
[[ ! $cudnn ]] || DOPPEL_CUDNN=0 step steps-by-patches 90 "$build/bench/bench_networks" \
  --benchmark_filter='^train/(classifier|vae/convolutional)/cuda' --benchmark_min_time=0.5 || true
BENCH_TABLE=$data/${tables[0]} step em 90 "$build/bench/bench_em" --benchmark_min_time=0.2 || true
step evaluation 60 "$build/bench/bench_evaluation" --benchmark_min_time=0.2 || true
while read -r line; do say "$line"; done < <(grep -hE '^(train|em|sort|pairs|quality)/' "$results"/{steps,em,evaluation}.txt | tr -s ' ')
[[ ! $cudnn ]] || while read -r line; do say "without cuDNN, $line"; done < <(grep -h '^train/' "$results/steps-by-patches.txt" | tr -s ' ')
grep -q '/cuda' "$results/sampling.json" || { say 'sampling: FAILED, nothing was measured on the device'; failures=$((failures + 1)); }
if command -v ncu >/dev/null; then
  # The clocks stay as they are; one launch of each benchmark is enough, the rest would only be replayed.
  for name in mixed adult/pca adult/mixture/100 life/mixture/1000; do
    step "ncu-${name//\//-}" 60 ncu --clock-control none --set full --launch-skip 4 --launch-count 1 \
      "$build/bench/bench_sampling" "--benchmark_filter=^$name/cuda" --benchmark_min_time=0.001 || true
  done
  [[ ! -e $work/adult-vae.doppel ]] || step ncu-vae 60 ncu --clock-control none --set full --launch-skip 12 --launch-count 6 \
    "$doppel" generate "$work/adult-vae.doppel" --rows 10M --threads 1 --backend cuda --sink null -q || true
else
  say 'no Nsight Compute here: kernels were not measured against the ceilings of the device'
fi

say "$failures failures in $SECONDS s; everything is in $results"
exit $((failures > 0))
