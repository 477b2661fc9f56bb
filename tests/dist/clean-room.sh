#!/usr/bin/env bash
# clean-room.sh SUITE [TARGET...]: README's first commands on a machine that has nothing of ours: a new Debian SUITE
# (bookworm, trixie) with git and make, a clone of this repository, then `make TARGET` for each (default: demo).
# CACHE=DIR lends the containers that tests build, which saves their download; else they are built there too.
. "$(dirname "${BASH_SOURCE[0]}")/../roots/lib.sh"

suite=${1:?clean-room.sh SUITE [TARGET...]}
shift
need_root

build_clean() {
	local mirror
	mirror=${KVPATH_DEBIAN_MIRROR:-$(debian_mirror)}
	debootstrap --variant=minbase --include=git,make,ca-certificates "$suite" "$1/root" ${mirror:+"$mirror"} >"$1/log" || {
		tail -n 20 "$1/log"
		die "debootstrap failed"
	}
}

dir=$(step_dir "clean-$suite" "$suite" "$(declare -f build_clean)")
step "$dir" build_clean
# On a disk, as what is installed there is some gigabytes; mounts in a namespace of its own.
root=$(mktemp -d "$cache/room.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
cp -a --reflink=auto "$dir/root/." "$root"
git clone --quiet "$roots_dir/../.." "$root/root/kvpath"
cp /etc/resolv.conf "$root/etc/resolv.conf"
# A site's own authorities, where its proxy signs in their name.
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
	cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
	chroot "$root" update-ca-certificates >/dev/null 2>&1
fi
mkdir -p "$root/cache"
status=0
# shellcheck disable=SC2016 # expanded in there
unshare --mount --propagation private -- bash -ec '
	root=$1 lent=$2
	shift 2
	# A root that is a mount, as that of a machine is: what starts namespaces in there relies on it.
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs -o mode=1777 tmp "$root/tmp"
	[ -z "$lent" ] || mount --bind "$lent" "$root/cache"
	exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
		${lent:+KVPATH_CACHE=/cache} chroot "$root" sh -ec '\''cd /root/kvpath && for t; do make "$t"; done'\'' _ "$@"
' _ "$root" "${CACHE:-}" "${@:-demo}" || status=$?
if [ "$status" = 0 ]; then
	say "ok $suite: ${*:-demo}"
else
	say "not ok $suite: ${*:-demo} (status $status)"
fi
[ "$status" = 0 ]
