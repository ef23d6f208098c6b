#!/bin/sh
# Makes sure that everything koe is built with is on this machine. What is missing is installed when this runs as root or with
# passwordless sudo; otherwise the one apt line is printed and the script fails.
#     scripts/install-deps.sh        what building and `make check` need
#     scripts/install-deps.sh ci     also what the slow suites need
set -eu

# What to look for, and the Debian package that brings it. A name with "pc:" is a pkg-config module, with "py:" a module of
# /usr/bin/python3, with a slash a file or folder, others are programs.
needs='gcc=gcc gcc=libc6-dev pkg-config=pkg-config meson=meson ninja=ninja-build
  pc:cmocka=libcmocka-dev pc:espeak-ng=libespeak-ng-dev pc:icu-uc=libicu-dev pc:icu-i18n=libicu-dev
  pc:libavcodec=libavcodec-dev pc:libavformat=libavformat-dev pc:libavutil=libavutil-dev
  pc:expat=libexpat1-dev pc:jansson=libjansson-dev pc:libcurl=libcurl4-openssl-dev pc:libzip=libzip-dev
  pc:zlib=zlib1g-dev pc:hiredis=libhiredis-dev pc:libmicrohttpd=libmicrohttpd-dev pc:gnutls=libgnutls28-dev /usr/include/wslay/wslay.h=libwslay-dev
  mecab-config=libmecab-dev /var/lib/mecab/dic/ipadic-utf8=mecab-ipadic-utf8'
[ "${1:-}" = ci ] && needs="$needs clang=clang python3=python3 py:onnx=python3-onnx py:numpy=python3-numpy
  chromium=chromium chromedriver=chromium-driver npm=npm redis-server=redis-server ffprobe=ffmpeg /usr/sbin/nginx=nginx-light"

is_here() {
  case $1 in
    pc:*) command -v pkg-config >/dev/null && pkg-config --exists "${1#pc:}" ;;
    py:*) /usr/bin/python3 -c "import importlib.util, sys; sys.exit(not importlib.util.find_spec('${1#py:}'))" 2>/dev/null ;;
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing=
for need in $needs; do
  package=${need#*=}
  is_here "${need%%=*}" && continue
  case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
done
[ -z "$missing" ] && exit 0

line="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null; then
  echo "koe may need the equivalents of these Debian packages:$missing" >&2
  exit 0 # Meson will tell
fi
if [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root="sudo -n"
else
  echo "koe needs some Debian packages; please run: sudo $line" >&2
  exit 1
fi

echo "installing:$missing" >&2
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null; }
apt update >&2 || echo "apt-get update failed, going on with the lists that are here" >&2
if ! apt install -y --no-install-recommends $missing >/tmp/koe-apt.$$ 2>&1; then
  cat /tmp/koe-apt.$$ >&2
  rm -f /tmp/koe-apt.$$
  echo "the packages could not be installed; please run: $line" >&2
  exit 1
fi
rm -f /tmp/koe-apt.$$
