# shellcheck shell=sh
# networks.sh - the full-size networks with seeded weights, for the scripts beside it:
#     . "$(dirname "$0")/networks.sh" [FOLDER for the filled models; default build/models]
# Sets $shared and $cache, absolute paths; ends the script with 77, skipped, where there are no models to fill.
shared=${KOE_SHARED:-../shared}
cache=${1:-build/models}
[ -f "$shared/models/fill.py" ] || { echo "skipped: there is no $shared/models/fill.py"; exit 77; }
/usr/bin/python3 -c 'import onnx, numpy' 2>/dev/null || { echo "skipped: needs python3-onnx"; exit 77; }
mkdir -p "$cache" && cache=$(cd "$cache" && pwd) && shared=$(cd "$shared" && pwd) || exit 1

# fill MODEL: its weights, once, in $cache.
fill() {
  [ -f "$cache/$1.onnx" ] && return
  /usr/bin/python3 "$shared/models/fill.py" "$shared/models/$1.graph.onnx" "$cache/$1.part" && mv "$cache/$1.part" "$cache/$1.onnx"
}

# has CPU: says so when this machine has not got the instruction set.
has() {
  "$KOE_BIN" model check --cpu "$1" none >/dev/null 2>&1 # wrong usage, 2, when it has not
  [ $? != 2 ] || { echo "== $1: not on this machine"; return 1; }
}
