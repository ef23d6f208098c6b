#!/bin/sh
# Builds into a folder, setting it up first when it is new: scripts/build.sh FOLDER [meson options]
set -eu
cd "$(dirname "$0")/.."
folder=$1
shift
[ -f "$folder/build.ninja" ] || meson setup "$folder" "$@" >/dev/null
exec ninja -C "$folder" --quiet
