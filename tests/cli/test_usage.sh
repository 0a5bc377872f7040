#!/usr/bin/env bash
# Exit statuses and streams of the command line where no work is done: help is a success, wrong usage is status 2.
set -u
program=$1
failures=0
expect() {  # expect STATUS STREAM PATTERN ARGUMENTS...: the status, and a line of the stream that matches
  local status=$1 stream=$2 pattern=$3 out err got
  shift 3
  out=$("$program" "$@" 2>/dev/null)
  got=$?
  err=$("$program" "$@" 2>&1 >/dev/null)
  [[ $stream == out ]] || out=$err
  if [[ $got != "$status" ]] || ! grep -qE -e "$pattern" <<<"$out"; then
    echo "doppel $*: status $got, expected $status; $stream was: $out"
    failures=$((failures + 1))
  fi
}
expect 0 out 'Usage|usage' --help
for command in fit generate evaluate score impute encode decode import inspect verify; do
  expect 0 out "^  $command " --help
  expect 0 out '^Examples:' "$command" --help
  expect 0 out "^  doppel $command [^ ]" "$command" --help
  expect 2 err '^doppel: error: ' "$command"
  expect 2 err '^doppel: error: ' "$command" --no-such-option
done
expect 0 out '^doppel [0-9]+\.[0-9]+' --version
expect 2 err 'not a number of bytes' verify x --memory lots
expect 2 err "no command 'no-such-command': the commands are fit, " no-such-command
expect 2 err '.' --no-such-option
expect 2 err '.'
exit $((failures > 0))
