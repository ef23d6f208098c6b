# tally.sh - runs Meson's tests and adds up their results; for `.` by other scripts.
#     tally FOLDER [options of meson test]     step NAME COMMAND...     tally_end
n_passed=0
n_failed=0
n_skipped=0

# The number after a label in the summary that meson test prints last.
summary() { sed -n "s/^$2: *\([0-9][0-9]*\).*/\1/p" "$1" | tail -n 1; }

tally() {
  folder=$1
  shift
  log=$folder/tally.log
  echo "== tests of $folder"
  meson test -C "$folder" --no-rebuild --print-errorlogs "$@" </dev/null >"$log" 2>&1
  status=$?
  if ! grep -q '^Ok:' "$log" && ! grep -q 'No tests' "$log" && [ $status -ne 0 ]; then
    cat "$log"
    n_failed=$((n_failed + 1))
    return
  fi
  sed '/^Ok: /,$d' "$log"
  for label in Ok 'Expected Fail'; do n_passed=$((n_passed + $(summary "$log" "$label" | grep . || echo 0))); done
  for label in Fail 'Unexpected Pass' Timeout; do n_failed=$((n_failed + $(summary "$log" "$label" | grep . || echo 0))); done
  n_skipped=$((n_skipped + $(summary "$log" Skipped | grep . || echo 0)))
}

# One thing that passes when the command does, and is skipped when it exits with 77.
step() {
  echo "== $1"
  shift
  "$@" </dev/null
  case $? in
    0) n_passed=$((n_passed + 1)) ;;
    77) n_skipped=$((n_skipped + 1)) ;;
    *) n_failed=$((n_failed + 1)) && echo "FAILED: $*" ;;
  esac
}

tally_end() {
  echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
  [ "$n_failed" = 0 ]
  exit $?
}
