# shellcheck shell=bash
# Shared by the builders of test roots. Every step is built once, in a temporary directory that is
# renamed into the cache when it is complete, under a name that holds the hash of its recipe: a
# directory that exists is whole and current.

set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C
umask 022

roots_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${KVPATH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvpath}

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "${0##*/}: $*"
	exit 2
}

need_root() {
	[ "$(id -u)" = 0 ] || die "needs root (it uses chroot and mounts)"
}

# The step's name and its inputs' text -> the directory that it has in the cache.
step_dir() {
	local name=$1
	shift
	printf '%s/%s-%s\n' "$cache" "$name" "$(printf '%s\n' "$@" | sha256sum | cut -c1-12)"
}

# step DIR FUNCTION ARG...: runs FUNCTION TEMPDIR ARG... unless DIR is there already. Steps of the
# same name that nobody has used for two weeks (older recipes) are dropped.
step() {
	local dir=$1 tmp start
	shift
	mkdir -p "$cache"
	if [ -d "$dir" ]; then
		touch "$dir"
		return
	fi
	exec 9>"$cache/.lock-$(basename "$dir")"
	flock 9
	if [ ! -d "$dir" ]; then
		start=$SECONDS
		say "building $(basename "$dir") (once, kept in $cache)"
		tmp=$(mktemp -d "$dir.tmp.XXXXXX")
		chmod 755 "$tmp"
		# A failed step ends the builder (set -e is on in here: this is no condition).
		trap 'rm -rf --one-file-system "${step_tmp:-}"' EXIT
		step_tmp=$tmp
		"$1" "$tmp" "${@:2}" 9>&- >&2
		mv -T "$tmp" "$dir"
		step_tmp=
		trap - EXIT
		say "built $(basename "$dir") in $((SECONDS - start)) s"
		find "$cache" -maxdepth 1 -type d \( -name "$(basename "${dir%-*}")-????????????" -mtime +14 \
			-o -name '*.tmp.*' -mtime +1 \) -exec rm -rf --one-file-system {} +
	fi
	exec 9>&-
}

# Copies a cached tree to a place that is not there yet.
give() {
	local from=$1 to=$2
	[ ! -e "$to" ] || die "$to exists already"
	mkdir -p "$(dirname "$to")"
	cp -a --reflink=auto "$from" "$to"
}

pip() {
	local py
	for py in /usr/bin/python3 python3; do
		if "$py" -m pip --version >/dev/null 2>&1; then
			"$py" -m pip --disable-pip-version-check "$@"
			return
		fi
	done
	die "python3 -m pip is missing: run make deps"
}

# NAME VERSION MACHINE PYTHON -> its line of wheels.lock: "TAG SHA256".
wheel_lock() {
	awk -v n="$1" -v v="$2" -v m="_$3\$" -v py="^(py3|cp${4/./})-" \
		'$1 == n && $2 == v && $3 ~ m && $3 ~ py { print $3, $4; found = 1 } END { exit !found }' \
		"$roots_dir/wheels.lock" || die "$1 $2 for $3 and python $4 is not in wheels.lock"
}

build_wheel() {
	local tmp=$1 name=$2 version=$3 sha=$4 machine=$5 python=$6 got
	pip download --quiet --no-deps --only-binary=:all: \
		--platform "manylinux_2_28_$machine" --platform "manylinux2014_$machine" \
		--python-version "$python" --dest "$tmp" "$name==$version"
	got=$(cat "$tmp"/*.whl | sha256sum | cut -d' ' -f1)
	[ "$got" = "$sha" ] || die "$name $version has sha256 $got, wheels.lock says $sha"
}

# NAME VERSION [MACHINE [PYTHON]] -> path of the checked wheel.
wheel() {
	local name=$1 version=$2 machine=${3:-x86_64} python=${4:-3.11} line dir file
	line=$(wheel_lock "$name" "$version" "$machine" "$python")
	dir=$(step_dir "wheel-$name-$version" "$line")
	step "$dir" build_wheel "$name" "$version" "${line#* }" "$machine" "$python"
	file=$(echo "$dir"/*.whl)
	[ "$(sha256sum <"$file" | cut -d' ' -f1)" = "${line#* }" ] ||
		die "$file is damaged: remove $dir"
	printf '%s\n' "$file"
}

# Stand-ins for what a GPU host and a framework bring: a driver without devices, and the two names
# that NIXL before 1.4 takes from torch.
add_stubs() {
	local root=$1 site=$2 src
	src=$(mktemp --suffix=.c)
	find "$site" -type f -name '*.so*' -exec nm -D -u {} + 2>/dev/null |
		sed -n 's/^ *U \(cu[A-Z][A-Za-z0-9_]*\)\(@.*\)\{0,1\}$/int \1(void) { return 100; }/p' |
		sort -u >"$src"
	gcc -O1 -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$root/usr/lib/x86_64-linux-gnu/libcuda.so.1" "$src"
	rm -f "$src"
	mkdir -p "$site/torch"
	printf 'class Tensor:\n    pass\n\n\nclass device:\n    pass\n' >"$site/torch/__init__.py"
}

# KVPATH_SUITE: the release that base and container are made of; Debian 12 where it is not set.
# SUITE -> its python3, in whose site NIXL is installed.
suite_python() {
	case $1 in
	jammy) echo 3.10 ;;
	bookworm) echo 3.11 ;;
	noble) echo 3.12 ;;
	trixie) echo 3.13 ;;
	resolute) echo 3.14 ;;
	*) die "no suite $1: jammy, bookworm, noble, trixie or resolute" ;;
	esac
}

# The Debian mirror that this host is configured for, or nothing. (apt-get indextargets would say
# it too, but knows nothing on a host whose package lists have been removed.)
debian_mirror() {
	apt-get update --print-uris 2>/dev/null |
		sed -n "s#^'\\(.*\\)/dists/\\(bookworm\\|trixie\\|sid\\|stable\\)/InRelease'.*#\\1#p" | awk 'NR == 1'
}

# Ubuntu's, as debootstrap knows it.
ubuntu_mirror() {
	sed -n '/old-releases\|ports/d; s/^.*default_mirror //p' /usr/share/debootstrap/scripts/gutsy |
		awk 'NR == 1'
}
