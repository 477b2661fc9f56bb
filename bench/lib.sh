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

# bench_root DIR[:DIR...] [NAME]: an overlay of them in /mnt/NAME (root), so that what is cached stays as it is; with
# bytecode, as an installed wheel has: the preamble must not pay for compiling.
bench_root() {
	local root=/mnt/${2:-root}
	[ -n "${bench_mounted:-}" ] || mount -t tmpfs -o mode=755 kvpath-bench /mnt
	bench_mounted=1
	mkdir "$root" "$root.up" "$root.work"
	mount -t overlay -o "lowerdir=$1,upperdir=$root.up,workdir=$root.work" overlay "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	chroot "$root" python3 -m compileall -q /usr/local/lib/python3.11/dist-packages >/dev/null || true
}

# The shell preamble that launch recipes run at each task start, as far as it looks: strings, ldd, import nixl, sed.
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

# bench_recipe ROOT: what the public recipe of the first report does at each task start in order to repair (pst2154/dynamo_glm47,
# glm_fp4_efa.yaml, bash_preamble), in its steps and order: the host's libfabric over the container's, _api.py asked for
# and edited, an agent made to see the plugin. Not its CuPy. ROOT is repaired by the first run; later ones do the same work.
bench_recipe() {
	cat <<SH
lib=$1/usr/lib/x86_64-linux-gnu
cp \$lib/libfabric.so.1 \$lib/libfabric.so.1.before
cp $1/opt/amazon/efa/lib/libfabric.so.1.[0-9]* \$lib/
ln -sf "\$(cd $1/opt/amazon/efa/lib && echo libfabric.so.1.[0-9]*)" \$lib/libfabric.so.1
inside() { chroot $1 "\$@"; }
api=\$(inside python3 -c 'import inspect, nixl_cu13._api as api; print(inspect.getfile(api))')
inside sed -i 's/= \["UCX"\]/= ["LIBFABRIC"]/' "\$api"
inside python3 -c 'import nixl_cu13 as nixl; print(nixl.nixl_agent("look").plugin_list)' | grep -c LIBFABRIC
SH
}
