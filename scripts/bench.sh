#!/bin/sh
# Times the model cases that are at hand, one JSON object for each: tests/data/models, and build/models once tests/slow/models.sh has
# filled the full-size networks.
set -eu
cd "$(dirname "$0")/.."
for case in tests/data/models/*/case_*/ build/models/*/case_*/; do
  model=$(ls "${case%case_*}"*.onnx 2>/dev/null | head -n 1)
  [ -n "$model" ] || continue
  set --
  for file in "$case"input_*.npy; do
    name=$(basename "$file" .npy)
    set -- "$@" --in "${name#input_}=$file"
  done
  for threads in 1 2; do
    printf '%s %s\n' "$case" "$(build/koe model bench "$model" "$@" --threads $threads --noise zero --runs 3)"
  done
done
