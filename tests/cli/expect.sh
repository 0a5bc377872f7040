# What the scripts of this folder share: source it with the program's path as the first argument. It takes them to a
# temporary folder, as $work, and leaves the program's absolute path in $doppel.
set -uo pipefail
doppel=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
expect_status() {  # expect_status STATUS COMMAND...: also at most one error line
  local wanted=$1; shift
  "$@" >stdout.txt 2>stderr.txt
  local status=$?
  [[ $status == "$wanted" ]] || fail "status $status, not $wanted: $* ($(tail -1 stderr.txt))"
  (( $(grep -c '^doppel: error: ' stderr.txt) <= 1 )) || fail "more than one error line: $*"
}
# Of the last expect_status: a text on standard error, a pattern on standard output.
expect_error() { grep -qF -- "$1" stderr.txt || fail "no '$1' in: $(cat stderr.txt)"; }
expect_output() { grep -qE -- "$1" stdout.txt || fail "no '$1' in: $(cat stdout.txt)"; }
