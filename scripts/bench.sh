#!/bin/sh
# koe and ONNX Runtime side by side on the full-size models; installs the peer from npm when it can.
set -eu
cd "$(dirname "$0")/.."
if [ ! -d bench/peer/node_modules ] && command -v npm >/dev/null; then
  npm install --ignore-scripts --no-audit --no-fund --prefix bench/peer >/dev/null 2>&1 || echo 'bench: npm cannot install ONNX Runtime' >&2
fi
exec /usr/bin/python3 bench/run.py "$@"
