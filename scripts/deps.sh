#!/usr/bin/env bash
# Installs what building and testing kvpath need, on Debian 12 or a relative of it: says what, then
# installs only what is missing. Nothing is installed with pip: the tests download wheels into a
# cache of their own when they first build their containers (tests/roots/wheels.lock).
set -euo pipefail

packages=(
	# build
	make gcc libc6-dev meson ninja-build pkg-config libjansson-dev
	# second compiler, sanitizers, format
	clang libclang-rt-14-dev clang-format shellcheck
	# tests
	libcmocka-dev bats binutils jq strace libtree
	# test containers
	debootstrap debian-archive-keyring ca-certificates python3 python3-pip unzip xz-utils
)

missing=()
if command -v dpkg-query >/dev/null; then
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
	for package in "${packages[@]}"; do
		grep -qxF "installed $package" <<<"$have" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || exit 0
fi

if ! command -v apt-get >/dev/null || [ ! -e /etc/debian_version ]; then
	echo "deps: this is no Debian or Ubuntu; install by hand what these packages hold: ${packages[*]}" >&2
	exit 2
fi

echo "deps: to be installed with apt: ${missing[*]}"
echo "deps: to be installed with pip: nothing"
if [ "$(id -u)" != 0 ]; then
	echo "deps: not root; run as root: apt-get install ${missing[*]}" >&2
	exit 2
fi

export DEBIAN_FRONTEND=noninteractive
install() {
	apt-get install -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends "${missing[@]}" </dev/null
}

# The package lists of a fresh image are empty, those of an old one name files that are gone.
if ! apt-get install -qq -s --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
	apt-get update -qq
	install
elif ! install; then
	apt-get update -qq
	install
fi
echo "deps: done"
