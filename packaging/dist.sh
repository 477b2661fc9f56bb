#!/usr/bin/env bash
# dist.sh [--from BUILD] [--machine x86_64|aarch64] [OUT]: the release's files, by default for both machines in
# ./dist. Each is built anew; --from takes what is in BUILD already, for the tests. The same sources and
# tools give the same bytes, wherever the sources lie.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C TZ=UTC
umask 022

machines=(x86_64 aarch64)
from=
out=dist
while [ $# -gt 0 ]; do
	case $1 in
	--from) from=$(realpath "$2") && shift 2 ;;
	--machine) machines=("$2") && shift 2 ;;
	-*) echo "dist: $1: see the head of this file" >&2 && exit 2 ;;
	*) out=$1 && shift ;;
	esac
done

version=$(sed -n "s/^ *version: '\(.*\)',$/\1/p" meson.build)
released=$(sed -n "s/^released = '\([0-9-]*\)'.*/\1/p" meson.build)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -d "$released" +%s)}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
out=$(realpath "$out")
rm -f "$out"/kvpath[-_]* "$out/SHA256SUMS"

# build MACHINE DIR: the programs and the man pages, without the tests.
build() {
	local options=()
	[ "$1" = "$(uname -m)" ] || options=(--cross-file "scripts/cross/$1.ini")
	rm -rf "$2"
	meson setup --prefix=/usr -Ddebug=false -Dc_args="['-ffile-prefix-map=$PWD=.']" "${options[@]}" "$2" >"$2.log" || {
		cat "$2.log" >&2
		return 1
	}
	ninja --quiet -C "$2" src/kvpath src/kvpath-probe src/manual/man1
}

# lay BUILD TREE: what is installed below a prefix, and the notices.
lay() {
	local prefix
	prefix=$(meson introspect --buildoptions "$1" | jq -r '.[] | select(.name == "prefix").value')
	meson install -C "$1" --no-rebuild --quiet --strip --destdir "$work/stage" --tags runtime,man,doc
	mv "$work/stage$prefix" "$2"
	rm -rf "$work/stage"
	packaging/libraries.py notices "$1" >"$2/share/doc/kvpath/THIRD-PARTY"
	find "$2" -type d -exec chmod 755 {} + -o -type f -perm /100 -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
}

# The tree that is unpacked to /opt and mounted into containers: `kvpath` is its one directory.
tarball() {
	tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu -C "$1" -cf - kvpath |
		gzip -n9 >"$2"
}

rpm_package() {
	local top=$work/rpm
	mkdir -p "$top/SOURCES"
	cp "$out/kvpath-$version-linux-$1.tar.gz" "$top/SOURCES"
	rpmbuild --quiet -bb --target "$1" --define "_topdir $top" --define "version $version" packaging/kvpath.spec >"$work/rpm.log" 2>&1 || {
		cat "$work/rpm.log" >&2
		return 1
	}
	cp "$top/RPMS/$1"/*.rpm "$out"
	rm -rf "$top"
}

for machine in "${machines[@]}"; do
	echo "dist: $machine" >&2
	dir=${from:-$PWD/build-dist-$machine}
	[ -n "$from" ] || build "$machine" "$dir"
	tree=$work/$machine/kvpath
	mkdir "$work/$machine"
	lay "$dir" "$tree"
	packaging/libraries.py sbom "$dir" "$tree" "$version" "$machine" >"$out/kvpath-$version-linux-$machine.spdx.json"
	cp "$out/kvpath-$version-linux-$machine.spdx.json" "$tree/share/doc/kvpath/kvpath.spdx.json"
	tarball "$work/$machine" "$out/kvpath-$version-linux-$machine.tar.gz"
	packaging/deb.sh "$tree" "$version" "$machine" "$out"
	libc=$(readelf -W -V "$tree/libexec/kvpath/kvpath-probe" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
	packaging/wheel.py "$tree" "$version" "$machine" "${libc#GLIBC_}" README.md "$out"
	rpm_package "$machine"
done
(cd "$out" && sha256sum -- kvpath[-_]* >SHA256SUMS)
echo "dist: $out" >&2
