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
