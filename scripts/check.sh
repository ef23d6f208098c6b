#!/bin/sh
# Builds with sanitizers and for release, runs the quick tests of both, and ends with one line: N passed, N failed, N skipped.
# A test program counts as one; the exit status is 1 when any failed.
set -u
cd "$(dirname "$0")/.."
. scripts/tally.sh

# gcc's -Wconversion sees conversions in what UBSan inserts; the release build warns about ours.
scripts/build.sh build-asan -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-Wno-conversion || exit 1
scripts/build.sh build || exit 1
tally build-asan
tally build
tally_end
