# What bench/check.sh and bench/start share; sourced with $top set. Both run in a mount namespace of their own.

export PYTHONPATH=$top/bench PYTHONDONTWRITEBYTECODE=1

# bench_arguments [--json] [-n RUNS] [VERSION]: into form, runs, version.
bench_arguments() {
	form=table
	runs=30
	while [[ ${1:-} == -* ]]; do
		case $1 in
		--json) form=json ;;
		-n) runs=$2 && shift ;;
		*) echo "${0##*/}: $1: --json or -n RUNS" >&2 && exit 2 ;;
		esac
		shift
	done
	version=${1:-1.5.0}
}

# bench_root DIR[:DIR...]: an overlay of them in /mnt/root, so that what is cached stays as it is; with bytecode, as an
# installed wheel has: the preamble must not pay for compiling.
bench_root() {
	mount -t tmpfs -o mode=755 kvpath-bench /mnt
	mkdir /mnt/up /mnt/work /mnt/root
	mount -t overlay -o "lowerdir=$1,upperdir=/mnt/up,workdir=/mnt/work" overlay /mnt/root
	mount -t proc proc /mnt/root/proc
	mount --rbind /sys /mnt/root/sys
	mount --rbind /dev /mnt/root/dev
	chroot /mnt/root python3 -m compileall -q /usr/local/lib/python3.11/dist-packages >/dev/null || true
}

# The shell preamble that launch recipes run at each task start: strings, ldd, import nixl, sed.
bench_preamble() {
	cat <<'SH'
nixl=/usr/local/lib/python3.11/dist-packages
lib=$(readlink -f /mnt/root/usr/lib/x86_64-linux-gnu/libfabric.so.1)
strings "$lib" | grep -E '^FABRIC_1\.[0-9]+$' | sort -V | tail -n 1
chroot /mnt/root ldd $nixl/.nixl_cu13.mesonpy.libs/plugins/libplugin_LIBFABRIC.so | grep -c 'not found'
api=$(chroot /mnt/root python3 -c 'import nixl_cu13, os; print(os.path.dirname(nixl_cu13.__file__))')
chroot /mnt/root sed -n '/backends/p' "$api/_api.py" | head -n 3
SH
}
