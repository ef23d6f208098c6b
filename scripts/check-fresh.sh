#!/bin/sh
# Proves that a stranger can start: makes a minimal Debian 12 in a folder with debootstrap, adds only git and make, clones this
# project's last commit into it, and runs `make speak` and `make check` there. Needs root and debootstrap; the packages come from the
# mirror that this machine's own apt uses.
#     scripts/check-fresh.sh [FOLDER]        default: a temporary one, removed at the end
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || { echo "check-fresh: needs root, for chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "check-fresh: needs debootstrap: apt-get install debootstrap" >&2; exit 1; }

# The first archive of this machine's apt that has Debian's main suites: "deb URL SUITE main" lines or "URIs:" fields.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  sed -n -e 's/^deb  *\(\[[^]]*\]  *\)\{0,1\}\([^ ]*\)  *bookworm .*/\2/p' -e 's/^URIs: *\([^ ]*\).*/\1/p' | grep '/debian/*$' | head -n 1)
[ -n "$mirror" ] || { echo "check-fresh: no Debian archive in this machine's apt sources" >&2; exit 1; }

if [ $# -gt 0 ]; then root=$1; keep=yes; else root=$(mktemp -d); keep=; fi
cleanup() {
  for inner in proc dev/pts; do
    if mountpoint -q "$root/$inner"; then umount -l "$root/$inner"; fi
  done
  if [ -z "$keep" ]; then rm -rf --one-file-system "$root"; fi
}
trap cleanup EXIT INT TERM

if [ ! -x "$root/usr/bin/apt-get" ]; then
  echo "== debootstrap from $mirror"
  debootstrap --variant=minbase --include=git,make,ca-certificates bookworm "$root" "$mirror" >"$root.log" 2>&1 ||
    { tail -n 20 "$root.log"; exit 1; }
  rm -f "$root.log"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
# What this machine's apt needs to reach the archive (a proxy, certificates) the new one needs too.
for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*proxy*; do
  if [ -f "$file" ]; then cp "$file" "$root$file"; fi
done
mount -t proc proc "$root/proc"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"

git clone -q --bare "$project" "$root/koe.git"
echo "== git clone, make speak, make check"
status=0
chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 sh -eu -c '
  cd /root
  rm -rf koe
  git clone -q /koe.git koe
  cd koe
  make speak
  ls -l speech.wav
  make check' </dev/null || status=$?
rm -rf "$root/koe.git"
[ $status = 0 ] && echo "fresh Debian 12: make speak and make check work"
exit $status
