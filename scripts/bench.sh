#!/bin/sh
# Times koe, next to ONNX Runtime where that is at hand (bench/run.py has the details and the options); without the full-size models,
# the small ones of the tests, one JSON object for each.
set -eu
cd "$(dirname "$0")/.."
if [ -d "${KOE_SHARED:-../shared}/models" ] && /usr/bin/python3 -c 'import onnx, numpy' 2>/dev/null; then
  exec /usr/bin/python3 bench/run.py "$@"
fi
for case in tests/data/models/*/case_0/; do
  set --
  for file in "$case"input_*.npy; do
    name=$(basename "$file" .npy)
    set -- "$@" --in "${name#input_}=$file"
  done
  printf '%s ' "$(basename "${case%/case_0/}")"
  build/koe model bench "${case%/case_0/}.onnx" "$@" --noise zero
done
