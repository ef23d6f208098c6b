#!/bin/sh
# The full-size networks: Kokoro and Piper with seeded weights against ONNX Runtime's results (../shared/models/README.md), on every
# instruction set of this machine, with one and two threads, and bit-identical between the two. Skips (77) where they are not at hand.
#     KOE_BIN=build/koe KOE_SHARED=../shared tests/slow/models.sh [FOLDER for the filled models, about 900 MB; default build/models]
set -u
# shellcheck source-path=SCRIPTDIR source=networks.sh
. "$(dirname "$0")/networks.sh"
status=0

# A folder for `koe model check`: suite NAME MODEL, then add NAME CASE FOLDER OUTPUT=FILE...
suite() { rm -rf "${cache:?}/$1" && mkdir -p "$cache/$1" && ln -s "$cache/$2.onnx" "$cache/$1/model.onnx"; }
add() {
  to=$cache/$1/case_$2
  from=$3
  shift 3
  mkdir -p "$to"
  for output; do ln -s "$from/${output#*=}.npy" "$to/output_${output%%=*}.npy"; done
  for file in "$from"/*.npy; do
    case $(basename "$file" .npy) in output|duration|har_waveform) ;; *) ln -s "$file" "$to/input_$(basename "$file")" ;; esac
  done
}

# check CPU SUITE...: one and two threads; peak is the bound of the README.
check() {
  cpu=$1
  shift
  for threads in 1 2; do
    for name; do
      echo "== $name, $cpu, $threads threads"
      "$KOE_BIN" model check --cpu "$cpu" --threads "$threads" --noise zero --peak 1e-4 "$cache/$name" || status=1
    done
  done
}

# same CPU SUITE CASE: the very same bytes from one and from two threads.
same() {
  for threads in 1 2; do
    inputs=
    for file in "$cache/$2/$3"/input_*.npy; do
      name=$(basename "$file" .npy)
      inputs="$inputs --in ${name#input_}=$file"
    done
    rm -rf "$cache/out$threads"
    # shellcheck disable=SC2086  # the inputs are several words
    "$KOE_BIN" model run "$cache/$2/model.onnx" $inputs --out "$cache/out$threads" --cpu "$1" --threads "$threads" --noise 7 >/dev/null || status=1
  done
  if diff -r "$cache/out1" "$cache/out2"; then echo "== $2/$3, $1: the same bytes from 1 and 2 threads"; else status=1; fi
}

for model in kokoro-har kokoro piper-medium piper-x_low piper-medium-multi; do
  fill $model || exit 1
done

suite har-short kokoro-har
add har-short short "$shared/models/kokoro-cases/short" waveform=har_waveform duration=duration
suite har-medium kokoro-har
add har-medium medium "$shared/models/kokoro-cases/medium" waveform=har_waveform duration=duration
suite kokoro kokoro
for case in short medium; do add kokoro $case "$shared/models/kokoro-cases/$case" duration=duration; done
rm -f "$cache"/kokoro/*/input_har.npy
suite kokoro-long kokoro
add kokoro-long long "$shared/models/kokoro-cases/long" duration=duration
for voice in medium x_low medium-multi; do
  suite piper-$voice piper-$voice
  suite piper-$voice-quick piper-$voice
  for case in "$shared/models/piper-cases/$voice"/*/; do
    add piper-$voice "$(basename "$case")" "${case%/}" output=output
    case $case in */tiny/|*/short*/) add piper-$voice-quick "$(basename "$case")" "${case%/}" output=output ;; esac
  done
done

for cpu in avx2 avx512; do
  has $cpu || continue
  check $cpu har-short har-medium kokoro kokoro-long piper-medium piper-x_low piper-medium-multi
  same $cpu har-medium case_medium
  same $cpu kokoro case_short
  same $cpu piper-medium case_long
done
# The portable kernels define the results but take their time.
check ref har-short piper-medium-quick piper-x_low-quick piper-medium-multi-quick
same ref piper-x_low case_short
# Each pass over the graph left out alone, and all of them.
passes=$("$KOE_BIN" model info --passes "$cache/piper-x_low.onnx" | sed -n '/^passes/,$s/^  \([a-z]*\) *[0-9-]* .*/-\1/p' | grep '^-[a-z]')
for left_out in $passes "$(echo $passes | tr ' ' ,)"; do
  echo "== passes $left_out"
  "$KOE_BIN" model check --passes="$left_out" --noise zero --peak 1e-4 "$cache/har-short" "$cache/piper-medium-quick" || status=1
done
exit $status
