#!/usr/bin/env bash
# dist-test.sh: make dist twice, of copies of the sources in two places with names of other lengths: the same checksums,
# for both machines. Then everything that tests/cli/package.bats does is done to those files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

copy() {
	mkdir -p "$1"
	git ls-files -z | tar --null -T - -cf - | tar -C "$1" -xf -
}

n=0
for place in "$work/a" "$work/another/place with a longer name"; do
	n=$((n + 1))
	copy "$place"
	# Another umask, locale and time zone too: none of them may show.
	(umask $((n * 11)) && LC_ALL=C.UTF-8 TZ=Etc/GMT-$n "$place/packaging/dist.sh" "$work/dist$n")
done
diff "$work/dist1/SHA256SUMS" "$work/dist2/SHA256SUMS"
echo "ok two builds in two places: the same $(wc -l <"$work/dist1/SHA256SUMS") checksums"
# The shell is a library's user too: the program of the dist itself is what must start.
tar -C "$work" -xzf "$work/dist1"/kvpath-*-linux-"$(uname -m)".tar.gz
KVPATH_DIST=$work/dist1 KVPATH=$work/kvpath/bin/kvpath bats --filter-tags '!build' tests/cli/package.bats
for deb in "$work"/dist1/*.deb; do
	lintian --allow-root --fail-on error,warning,info "$deb"
done
echo "ok lintian has nothing to say of either .deb"
if command -v qemu-aarch64-static >/dev/null; then
	mkdir "$work/arm"
	tar -C "$work/arm" -xzf "$work"/dist1/kvpath-*-linux-aarch64.tar.gz
	qemu-aarch64-static "$work/arm/kvpath/bin/kvpath" --version
	echo "ok the aarch64 program starts, emulated"
fi
