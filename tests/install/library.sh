#!/bin/sh
# library.sh BUILD CC...: installs to a new folder, and builds and runs hello.c there with nothing else.
set -eu
source=$(cd "$(dirname "$0")" && pwd)
build=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
DESTDIR=$folder meson install -C "$build" --no-rebuild --quiet >/dev/null
pc=$(find "$folder" -name koe.pc)
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$folder" PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
# shellcheck disable=SC2046  # the flags are several words
"$@" -std=c17 -Wall -Wextra -Wpedantic -Werror -o "$folder/hello" "$source/hello.c" $(pkg-config --cflags --libs koe)
koe=$(find "$folder" -type f -name koe)
unset KOE_BIN # the helper is found where programs are
PATH=${koe%/*}:$PATH KOE_HOME=$folder "$folder/hello"
