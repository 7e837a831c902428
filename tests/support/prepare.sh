# SPDX-License-Identifier: Apache-2.0
# Sourced by ./demo and ./check: what both need on a bare Debian 12. Says what it installs; does
# nothing the second time.
set -euo pipefail

BUILD_PACKAGES="build-essential meson ninja-build ccache pkg-config libuv1-dev node-llhttp
  libsimdjson-dev libseccomp-dev libcap-dev libsqlite3-dev libarchive-dev zlib1g-dev
  libtomlplusplus-dev libcli11-dev libfmt-dev libsystemd-dev libssl-dev libcurl4-openssl-dev
  nlohmann-json3-dev python3 python3-dev"
RUN_PACKAGES="python3-pil mawk curl ca-certificates"

say() { printf '\n== %s\n' "$*"; }

need_root() {
  [ "$(id -u)" != 0 ] || return 0
  echo "$0: run it as root: it installs packages and starts a daemon that makes sandboxes" >&2
  exit 2
}

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

install_packages() {
  local missing=() package
  for package in "$@"; do installed "$package" || missing+=("$package"); done
  # Whoever has node from elsewhere keeps it.
  [ -x /usr/bin/node ] || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

make_user() {
  id hearth >/dev/null 2>&1 && return 0
  say "making the system user 'hearth'"
  useradd --system --home-dir / --shell /usr/sbin/nologin hearth
}

# Line numbers without the rest of the debug information halve the time to build; the same flags
# everywhere, so that one compilation serves ./check and ./demo.
BUILD_FLAGS="-Doptimization=1 -Ddebug=false -Dcpp_args=-g1 -Dc_args=-g1 -Dwerror=true"

# A clone in another folder finds what this one compiled: paths in the objects are relative.
export CCACHE_NOHASHDIR=1

# build FOLDER STAGE [meson options]: configures once, compiles, installs into STAGE.
build() {
  local folder=$1 stage=$2 log=$1.log
  shift 2
  if [ ! -f "$folder/build.ninja" ]; then
    meson setup "$folder" --prefix "$stage" $BUILD_FLAGS "$@" >"$log" 2>&1 ||
      { cat "$log"; return 1; }
  fi
  ninja -C "$folder" >"$log" 2>&1 ||
    { grep -E 'error|FAILED' -A5 "$log" || tail -50 "$log"; return 1; }
  meson install -C "$folder" --quiet >>"$log" 2>&1 || { tail -20 "$log"; return 1; }
}

# Hearth as it is shipped, in stage-bench, and what its figures are compared with, in build-bench.
build_bench() {
  build build-bench "$PWD/stage-bench" -Dbuildtype=release -Doptimization=3 -Dcpp_args= -Dc_args= \
    -Dwerror=false -Dtests=false -Dbenchmarks=true
}

# bundle EXAMPLE FOLDER STAGE: a copy of an example with what it needs built or fetched.
bundle() {
  local example=$1 folder=$2 stage=$3
  rm -rf "$folder"
  cp -r "examples/$example" "$folder"
  if [ -f "$folder/package.json" ]; then
    (cd "$folder" && npm ci --silent --no-audit --no-fund --ignore-scripts)
  fi
  if [ -f "$folder/Makefile" ]; then
    make -s -C "$folder" HEARTH_INCLUDE="$stage/include/hearth" digest
  fi
}
