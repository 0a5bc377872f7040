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
  if [[ $got != "$status" ]] || ! grep -qE "$pattern" <<<"$out"; then
    echo "doppel $*: status $got, expected $status; $stream was: $out"
    failures=$((failures + 1))
  fi
}
expect 0 out 'Usage|usage' --help
expect 2 err '.' no-such-command
expect 2 err '.' --no-such-option
expect 2 err '.'
exit $((failures > 0))
