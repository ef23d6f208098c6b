#!/bin/sh
# The engine on 64-bit ARM: cross-built, its tests run under qemu-user, once on a processor with everything (dotprod, i8mm, bf16) and once
# on a Cortex-A53, which has plain NEON only. Skips (77), saying why, where the cross compiler or qemu cannot be had.
#     scripts/check-aarch64.sh [FOLDER, default build-aarch64]
set -u
cd "$(dirname "$0")/.."
folder=${1:-build-aarch64}
. scripts/tally.sh
skip() {
  echo "skipped: aarch64: $*"
  exit 77
}

if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64-static >/dev/null; then
  command -v apt-get >/dev/null || skip "needs aarch64-linux-gnu-gcc and qemu-aarch64-static"
  if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else skip "apt-get install gcc-aarch64-linux-gnu qemu-user-static"; fi
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static </dev/null >/dev/null 2>&1 || skip "the cross compiler or qemu could not be installed"
fi

# cmocka for ARM, unpacked beside the build: no foreign architecture is added to this machine.
mkdir -p "$folder"
root=$(cd "$folder" && pwd)/arm64
pc=$root/usr/lib/aarch64-linux-gnu/pkgconfig
if [ ! -f "$pc/cmocka.pc" ]; then
  command -v apt-get >/dev/null || skip "needs libcmocka-dev for arm64"
  mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
  : >"$root/status"
  apt_arm64() {
    apt-get -qq -o Dir::State::Lists="$root/lists" -o Dir::State::status="$root/status" -o Dir::Cache="$root/cache" \
      -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= "$@" </dev/null
  }
  apt_arm64 update >/dev/null 2>&1 || true # a list that is missing shows below
  (cd "$root" && apt_arm64 download libcmocka0 libcmocka-dev) >/dev/null 2>&1 || skip "libcmocka-dev for arm64 could not be downloaded"
  for package in "$root"/*.deb; do dpkg-deb -x "$package" "$root"; done
  rm -rf "$root"/*.deb "$root/lists" "$root/cache" "$root/status"
fi

export PKG_CONFIG_LIBDIR="$pc" PKG_CONFIG_SYSROOT_DIR="$root"
if [ ! -f "$folder/build.ninja" ]; then
  meson setup "$folder" --cross-file scripts/aarch64.ini -Dengine_only=true -Dwerror=true >/dev/null || exit 1
fi
ninja -C "$folder" --quiet || exit 1

# A small address space: qemu pays for every page that a run of the engine reserves. What the tests of the portable kernels show on any
# machine stays out: operators that move and compare, graphs on ref, and on the second processor all that reaches no vector code.
export QEMU_RESERVED_VA=2G LD_LIBRARY_PATH="$root/usr/lib/aarch64-linux-gnu"
tests=$(meson test -C "$folder" --list 2>/dev/null | sed 's/.* //' | grep -vE '_(ref|avx2|avx512)$')
# on CPU PATTERN BUT: the tests whose names match the one and not the other.
on() {
  echo "== aarch64, $1"
  # shellcheck disable=SC2046  # the tests are several words
  QEMU_CPU=$1 tally "$folder" --timeout-multiplier 3 $(echo "$tests" | grep -E "$2" | grep -vE "$3")
}
on max '^(base|kernels|onnx|graph)/|^ops/(conv|matmul|rnn)$' '_neon$'
on cortex-a53 '^base/cpu$|^kernels/|_neon$|^ops/(conv|matmul|rnn)$' '^$'
tally_end
