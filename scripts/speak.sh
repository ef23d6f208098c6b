#!/bin/sh
# Speaks a sentence into speech.wav. Without a model the published Kokoro is fetched first; where that fails, the built-in voice speaks.
set -eu
cd "$(dirname "$0")/.."
home=${KOE_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/koe}
if [ ! -e "$home/kokoro/model.onnx" ] && ! build/koe pull --connect-timeout 5 --retries 0 kokoro; then
  echo "No Kokoro model is installed, so the built-in voice (espeak-ng) speaks. Later: build/koe pull kokoro" >&2
fi
build/koe say -o speech.wav -- "$1"
