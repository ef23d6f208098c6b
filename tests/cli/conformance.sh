#!/bin/sh
# ONNX's own cases and small published models, on every instruction set of this machine. Skips (77) where they are not at hand.
set -u
cases=${KOE_SHARED:-../shared}
[ -d "$cases/onnx-conformance" ] || { echo "skipped: there is no $cases/onnx-conformance"; exit 77; }
status=0
for cpu in ref avx2 avx512; do
  "$KOE_BIN" model check --cpu $cpu none >/dev/null 2>&1 # wrong usage, 2, when the machine has not got it
  [ $? = 2 ] && { echo "== $cpu: not on this machine"; continue; }
  for threads in 1 2; do
    echo "== $cpu, $threads threads"
    "$KOE_BIN" model check --cpu $cpu --threads $threads "$cases"/onnx-conformance/*/ "$cases/onnx-models" || status=1
  done
done
exit $status
