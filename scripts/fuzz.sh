#!/bin/sh
# fuzz.sh TARGET [SECONDS] - builds one libFuzzer target with ASan and UBSan (clang) and runs it from its seeds.
# What it finds goes to build-fuzz/found/TARGET/. After the fix, move such a file to tests/data/crash/TARGET/ under a name that
# says what it is; the tests replay that folder. The grown corpus stays in build-fuzz/corpus/TARGET.
set -eu
cd "$(dirname "$0")/.."
target=${1:?usage: scripts/fuzz.sh TARGET [SECONDS]   (targets: $(ls fuzz/corpus | tr '\n' ' '))}
seconds=${2:-600}
[ -d build-fuzz ] || CC=clang meson setup build-fuzz -Dfuzz=true -Dtests=false -Db_sanitize=address,undefined -Db_lundef=false
ninja -C build-fuzz -j2 "fuzz/fuzz_$target"
mkdir -p "build-fuzz/corpus/$target" "build-fuzz/found/$target"
exec "build-fuzz/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
  -artifact_prefix="build-fuzz/found/$target/" "build-fuzz/corpus/$target" "fuzz/corpus/$target"
