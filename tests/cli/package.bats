#!/usr/bin/env bats
# The release's files for this machine, made of the build that is tested: each is installed and started where
# nothing helps it. `make dist-test` does it for those that make dist builds, for both machines.

load helper

setup_file() {
	[ "$(id -u)" = 0 ] || skip "needs root: roots are entered"
	export top=$BATS_TEST_DIRNAME/../.. dist=$BATS_FILE_TMPDIR/dist
	machine=$(uname -m)
	export machine
	if [ -n "${KVPATH_DIST:-}" ]; then
		dist=$KVPATH_DIST
	else
		kvpath=${KVPATH:-$top/build/bin/kvpath}
		"$top/packaging/dist.sh" --from "$(dirname "$(dirname "$kvpath")")" --machine "$machine" "$dist"
	fi
}

setup() {
	[ "$(id -u)" = 0 ] || skip "needs root: roots are entered"
	version=$("$KVPATH" --version | cut -d' ' -f2)
	release=$dist/kvpath-$version-linux-$machine
}

# starts COMMAND...: kvpath there tells its version and examines the root that it runs in.
starts() {
	run "$@" --version
	[ "$status" = 0 ] && [ "$output" = "kvpath $version" ] || { echo "$output"; false; }
	run "$@" check --json
	[ "$status" = 3 ] || [ "$status" = 1 ] || { echo "$output"; false; }
	jq -e '.schema == "kvpath.check/1" and .target.path == "/"' <<<"$output" >/dev/null
}

@test "the checksums are those of the files, and every file has one" {
	cd "$dist"
	sha256sum --quiet -c SHA256SUMS
	[ "$(find . -type f ! -name SHA256SUMS | wc -l)" = "$(wc -l <SHA256SUMS)" ]
}

@test "the tarball's tree: anywhere, the probe beside it, the notices in it" {
	tar -C "$BATS_TEST_TMPDIR" -xzf "$release.tar.gz"
	[ "$(ls "$BATS_TEST_TMPDIR")" = kvpath ]
	mkdir "$BATS_TEST_TMPDIR/else where"
	mv "$BATS_TEST_TMPDIR/kvpath" "$BATS_TEST_TMPDIR/else where/kv"
	tree="$BATS_TEST_TMPDIR/else where/kv"
	starts "$tree/bin/kvpath"
	[ -x "$tree/libexec/kvpath/kvpath-probe" ]
	[ "$(strings "$tree/bin/kvpath" | grep -cF "$(realpath "$top")")" = 0 ]
	for name in glibc jansson zlib squashfs-tools-ng libfyaml libarchive; do
		grep -q "^$name [0-9]" "$tree/share/doc/kvpath/THIRD-PARTY" || { echo "no notice of $name"; false; }
	done
	grep -q 'GNU LESSER GENERAL PUBLIC LICENSE' "$tree/share/doc/kvpath/THIRD-PARTY"
}

@test "an empty root: the program starts in it" {
	mkdir "$BATS_TEST_TMPDIR/root"
	tar -C "$BATS_TEST_TMPDIR/root" -xzf "$release.tar.gz" --strip-components=2 kvpath/bin/kvpath
	[ "$(ls -A "$BATS_TEST_TMPDIR/root")" = kvpath ]
	starts chroot "$BATS_TEST_TMPDIR/root" /kvpath
}

@test "the tree mounted as /opt/kvpath into a container" {
	tar -C "$BATS_TEST_TMPDIR" -xzf "$release.tar.gz"
	starts "$top/tests/roots/run" --bind "$BATS_TEST_TMPDIR/kvpath:/opt/kvpath" "$("$top/tests/roots/base")" /opt/kvpath/bin/kvpath
}

@test "the .deb: lintian, and installed in Debian 12" {
	deb=$(echo "$dist"/kvpath_*_"$(dpkg --print-architecture)".deb)
	run lintian --allow-root --fail-on error,warning,info "$deb"
	[ "$status" = 0 ] || { echo "$output"; false; }
	cat >"$BATS_TEST_TMPDIR/in" <<-'END'
		set -e
		dpkg -i /dist/kvpath_*_"$(dpkg --print-architecture)".deb >&2
		test -x /usr/libexec/kvpath/kvpath-probe
		test -e /usr/share/bash-completion/completions/kvpath
		/usr/libexec/kvpath/kvpath-probe --help >/dev/null 2>&1 || test $? -lt 126
		dpkg --verify kvpath >&2
		exec kvpath "$@"
	END
	starts "$top/tests/roots/run" --bind "$dist:/dist" --bind "$BATS_TEST_TMPDIR:/t" "$("$top/tests/roots/base")" sh -c \
		'sh /t/in "$@" 2>/tmp/err || { s=$?; grep -i "error" /tmp/err >&2; exit $s; }' _
}

@test "the wheel: installed by pip in an environment of its own" {
	python3 -m venv "$BATS_TEST_TMPDIR/venv"
	run "$BATS_TEST_TMPDIR/venv/bin/pip" install --no-index --disable-pip-version-check "$dist"/kvpath-*_"$machine".whl
	[ "$status" = 0 ] || { echo "$output"; false; }
	starts "$BATS_TEST_TMPDIR/venv/bin/kvpath"
	[ -x "$BATS_TEST_TMPDIR/venv/libexec/kvpath/kvpath-probe" ]
	cmp <(tar -xzOf "$release.tar.gz" kvpath/bin/kvpath) "$BATS_TEST_TMPDIR/venv/bin/kvpath"
	run "$BATS_TEST_TMPDIR/venv/bin/pip" uninstall -y kvpath
	[ "$status" = 0 ]
	[ ! -e "$BATS_TEST_TMPDIR/venv/bin/kvpath" ]
}

@test "the .rpm: the same programs, and nothing of them changed" {
	rpm=$(echo "$dist"/kvpath-*."$machine".rpm)
	mkdir "$BATS_TEST_TMPDIR/root"
	(cd "$BATS_TEST_TMPDIR/root" && rpm2cpio "$rpm" | cpio -id --quiet)
	cmp <(tar -xzOf "$release.tar.gz" kvpath/bin/kvpath) "$BATS_TEST_TMPDIR/root/usr/bin/kvpath"
	[ "$(rpm -qp --qf '%{LICENSE} %{ARCH}' "$rpm")" = "Apache-2.0 $machine" ]
	rpm -qp --requires "$rpm" | grep -qF 'libc.so.6(GLIBC_2.34)'
}

@test "the SBOM: valid by SPDX's own validator, and it names what is linked" {
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$("$top/tests/roots/spdx") run python3 -m spdx_tools.spdx.clitools.pyspdxtools \
		-i "$release.spdx.json"
	[ "$status" = 0 ] || { echo "$output"; false; }
	jq -e '[.relationships[] | select(.relationshipType == "STATIC_LINK")] | length >= 9' "$release.spdx.json"
	# The checksum of the program is the program's.
	sum=$(tar -xzOf "$release.tar.gz" kvpath/bin/kvpath | sha256sum | cut -d' ' -f1)
	jq -e --arg sum "$sum" '.files[] | select(.fileName == "./bin/kvpath") | any(.checksums[]; .checksumValue == $sum)' \
		"$release.spdx.json"
}

# bats test_tags=build
@test "make install: everything below DESTDIR and PREFIX" {
	build=$(dirname "$(dirname "$(realpath "$KVPATH")")")
	DESTDIR=$BATS_TEST_TMPDIR/stage meson install -C "$build" --no-rebuild --quiet
	cd "$BATS_TEST_TMPDIR/stage"/usr/local
	for f in bin/kvpath libexec/kvpath/kvpath-probe share/man/man1/kvpath-check.1 \
		share/bash-completion/completions/kvpath share/zsh/site-functions/_kvpath \
		share/fish/vendor_completions.d/kvpath.fish share/doc/kvpath/README.md \
		share/doc/kvpath/examples/glm-4.7-fp4-efa/recipe.yaml; do
		[ -e "$f" ] || { echo "$f is not installed"; false; }
	done
	find . -path '*/slurm/kvpath_spank.so' | grep -q .
	MANPATH=$PWD/share/man man -w kvpath-check
}
