# shellcheck shell=bash
# Sourced by the scripts beside it: what a fresh Debian or Ubuntu machine needs first.

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# Run a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo "$@"
  else
    fail "this needs root and there is no sudo here; run as root: $*"
  fi
}

# Install those of the named Debian packages that are missing.
install_packages() {
  local missing=() name
  command -v dpkg-query > /dev/null || fail "this needs Debian or Ubuntu; install by hand: $*"
  for name in "$@"; do
    dpkg-query --show --showformat '${Status}' "$name" 2> /dev/null \
      | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] && ! command -v sudo > /dev/null; then
    fail "packages are missing and there is no sudo here; run as root:" \
      "apt-get install --no-install-recommends ${missing[*]}"
  fi
  echo "installing Debian packages: ${missing[*]}"
  as_root apt-get update --quiet --quiet
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes \
    --no-install-recommends "${missing[@]}" > /dev/null \
    || fail "apt-get could not install: ${missing[*]}"
}

# A virtual environment with this package in it: the active one, or else .venv.
prepare_python() { # EXTRAS, for example '[train,dev]'
  if [ -z "${VIRTUAL_ENV:-}" ]; then
    [ -x .venv/bin/pip ] || create_environment
    . .venv/bin/activate
  fi
  python -m pip install --quiet --quiet --disable-pip-version-check --editable ".$1" \
    --constraint constraints.txt
}

create_environment() {
  local python found=''
  for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null || continue
    found=$python
    "$python" -c 'import ensurepip' 2> /dev/null && break
  done
  if [ -z "$found" ]; then
    install_packages python3 python3-venv
    python=python3
  elif ! "$found" -c 'import ensurepip' 2> /dev/null; then
    install_packages "$("$found" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')"
    python=$found
  fi
  "$python" -m venv .venv || fail "no virtual environment; Python 3.10 or newer with venv is needed"
}

# Fashion-MNIST out of Debian's package, without installing it; where apt does not have it,
# bitat-deploy itself downloads it when it is needed.
provide_fashion_mnist() {
  local package=dataset-fashion-mnist work
  local cached=${XDG_CACHE_HOME:-$HOME/.cache}/bitat-deploy/datasets/fashion-mnist
  [ ! -d "/usr/share/datasets/fashion-mnist" ] && [ ! -d "$cached" ] || return 0
  mkdir -p "$(dirname "$cached")"
  work=$(mktemp -d "$cached.XXXXXX")
  if (cd "$work" && apt-get download "$package" && dpkg-deb --extract ./*.deb .) &> /dev/null; then
    mv "$work/usr/share/datasets/fashion-mnist" "$cached"
  fi
  rm -rf "$work"
}
