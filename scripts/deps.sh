#!/usr/bin/env bash
# Installs what building and testing kvpath need, on Debian 12 or a relative of it: says what, then
# installs only what is missing. Nothing is installed with pip: the tests download wheels into a
# cache of their own when they first build their containers (tests/roots/wheels.lock).
set -euo pipefail

packages=(
	# build
	make gcc g++ libc6-dev meson ninja-build pkg-config libjansson-dev
	libfyaml-dev libsquashfs-dev libarchive-dev zlib1g-dev liblzma-dev liblz4-dev libzstd-dev
	libfabric-dev libucx-dev # the probe takes types of them
	# second compiler, sanitizers, format
	clang libclang-rt-dev llvm clang-format clang-tidy cppcheck codespell shellcheck
	# tests
	libcmocka-dev bats binutils jq strace libtree zstd procps iproute2
	libfabric-bin iperf3 ucx-utils time # bench/'s peers
	squashfs-tools squashfs-tools-ng patch liblzo2-dev
	podman crun runc skopeo # images, as the tests make them, and containers that are started
	python3-yaml python3-jsonschema # what render writes, held against schemas
	chromium fonts-dejavu-core poppler-utils # the HTML report, as browsers show and print it
	prometheus-node-exporter # reads what watch writes
	slurm-wlm munge libslurm-dev # Slurm's plugin, and a real Slurm on one machine
	openssh-server openssh-client # sweep by ssh, to this machine under other names
	man-db mandoc groff zsh fish # man pages and completions
	dpkg-dev lintian rpm cpio python3-venv # packages, and what looks at them
	patchelf # a library that needs one more
	abigail-tools # the ABI of libkvpath
	# test containers
	debootstrap debian-archive-keyring ca-certificates python3 python3-pip unzip xz-utils
)

# `make CROSS=aarch64`: the compiler, the libraries of Debian's arm64 (they lie beside the native ones),
# and the emulator that runs what was built.
cross=(
	gcc-aarch64-linux-gnu libc6-dev:arm64 libjansson-dev:arm64 libcmocka-dev:arm64 qemu-user-static
	libfyaml-dev:arm64 libsquashfs-dev:arm64 libarchive-dev:arm64 zlib1g-dev:arm64 liblzma-dev:arm64 liblz4-dev:arm64 libzstd-dev:arm64 liblzo2-dev:arm64
)

native=$(dpkg --print-architecture 2>/dev/null || true)
# Ubuntu and others keep arm64 on other servers: adding it would break their package lists. In Debian 13
# libarchive-dev of two architectures exclude each other, by libext2fs-dev.
if [ "$native" = amd64 ] && grep -qx 'ID=debian' /etc/os-release 2>/dev/null && grep -qx 'VERSION_ID="12"' /etc/os-release; then
	packages+=("${cross[@]}")
else
	echo "deps: not amd64 Debian 12: nothing is installed for make CROSS=aarch64" >&2
fi

missing=()
if command -v dpkg-query >/dev/null; then
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Architecture}\n' "${packages[@]}" 2>/dev/null || true)
	for package in "${packages[@]}"; do
		arch=$native
		[[ $package != *:* ]] || arch=${package#*:}
		grep -qxF -e "installed ${package%:*} $arch" -e "installed ${package%:*} all" <<<"$have" ||
			missing+=("$package")
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
if [[ " ${missing[*]}" == *:arm64* ]] && ! dpkg --print-foreign-architectures | grep -qx arm64; then
	echo "deps: dpkg --add-architecture arm64"
	dpkg --add-architecture arm64
fi
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
