#!/usr/bin/env bash
# deb.sh TREE VERSION MACHINE OUT: the .deb of a tree as dist.sh lays it out. SOURCE_DATE_EPOCH is its time.
# Whoever releases it for others names itself by KVPATH_MAINTAINER, "Name <address>": .invalid is nobody's (RFC 2606).
set -euo pipefail

maintainer=${KVPATH_MAINTAINER:-kvpath maintainers <maintainers@kvpath.invalid>}
tree=$1 version=$2 machine=$3 out=$4
case $machine in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) echo "deb.sh: $machine: Debian's name for it is not known" >&2 && exit 2 ;;
esac

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
doc=$root/usr/share/doc/kvpath
mkdir -p "$root/usr" "$root/DEBIAN"
chmod 755 "$root"
cp -R --preserve=mode "$tree/bin" "$tree/libexec" "$tree/share" "$root/usr"
mkdir -p "$root/usr/share/zsh" "$root/usr/share/lintian/overrides"
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
gzip -n9 "$root"/usr/share/man/man1/*.1
rm "$doc/LICENSE"
gzip -n9 "$doc/THIRD-PARTY"

cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: kvpath
Comment: The program is static. The notices of the libraries in it are in THIRD-PARTY.gz.

Files: *
Copyright: 2026 the kvpath maintainers
License: Apache-2.0
 On Debian systems the text of this licence is in /usr/share/common-licenses/Apache-2.0.
END
gzip -n9 >"$doc/changelog.gz" <<END
kvpath ($version) unstable; urgency=medium

  * What is new stands in the history of the repository.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
cat >"$root/usr/share/lintian/overrides/kvpath" <<END
# It is mounted into foreign containers and has to start in any of them.
kvpath: statically-linked-binary [usr/bin/kvpath]
kvpath: embedded-library zlib [usr/bin/kvpath]
# Of the container that is examined, which may have no dpkg to ask.
kvpath: uses-dpkg-database-directly [usr/bin/kvpath]
END
cat >"$root/DEBIAN/control" <<END
Package: kvpath
Version: $version
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f1)
Depends: libc6 (>= 2.34)
Section: net
Priority: optional
Description: find why KV caches are not on the fabric, and repair it
 Disaggregated serving of language models moves KV caches between nodes
 through NIXL. kvpath says why they do not take the fabric, repairs it, and
 proves it with transfers that are measured.
 .
 It examines this machine, the root directory of a container, or an image,
 and executes nothing of it.
END
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/kvpath_${version}_$arch.deb" >/dev/null
