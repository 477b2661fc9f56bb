#!/usr/bin/env bash
# check.sh [-n RUNS] [VERSION]: how long `kvpath check` takes on a container, beside the shell preamble
# that launch recipes run at each task start (strings, ldd, import nixl, sed). Interleaved, in one
# run, everything in the page cache. Prints figures; asserts and records nothing.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
runs=30
if [ "${1:-}" = -n ]; then
	runs=$2
	shift 2
fi
version=${1:-1.5.0}

if [ -z "${KVPATH_BENCH_NS:-}" ]; then
	KVPATH_BENCH_NS=1 exec unshare --mount --propagation private -- "${BASH_SOURCE[0]}" -n "$runs" "$version"
fi

pristine=$("$top/tests/roots/container" "$version")
# In a namespace of our own: an overlay, so that the cached container stays as it is.
mount -t tmpfs -o mode=755 kvpath-bench /mnt
mkdir /mnt/up /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$pristine,upperdir=/mnt/up,workdir=/mnt/work" overlay /mnt/root
mount -t proc proc /mnt/root/proc
mount --rbind /sys /mnt/root/sys
mount --rbind /dev /mnt/root/dev
# As an installed wheel is: with bytecode. The preamble must not pay for compiling.
chroot /mnt/root python3 -m compileall -q /usr/local/lib/python3.11/dist-packages >/dev/null || true

cat >/mnt/preamble.sh <<'END'
nixl=/usr/local/lib/python3.11/dist-packages
lib=$(readlink -f /mnt/root/usr/lib/x86_64-linux-gnu/libfabric.so.1)
strings "$lib" | grep -E '^FABRIC_1\.[0-9]+$' | sort -V | tail -n 1
chroot /mnt/root ldd $nixl/.nixl_cu13.mesonpy.libs/plugins/libplugin_LIBFABRIC.so | grep -c 'not found'
api=$(chroot /mnt/root python3 -c 'import nixl_cu13, os; print(os.path.dirname(nixl_cu13.__file__))')
chroot /mnt/root sed -n '/backends/p' "$api/_api.py" | head -n 3
END

exec python3 - "$runs" "$top/build/bin/kvpath" "$version" <<'END'
import os
import statistics
import subprocess
import sys
import time

runs, kvpath, version = int(sys.argv[1]), sys.argv[2], sys.argv[3]
commands = {
    "kvpath check": [kvpath, "check", "/mnt/root"],
    "shell preamble": ["bash", "/mnt/preamble.sh"],
}
times = {name: [] for name in commands}
for i in range(runs + 2):
    for name, argv in commands.items():
        start = time.perf_counter()
        status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL).returncode
        took = time.perf_counter() - start
        if status not in (0, 1):
            sys.exit(f"{name} ended with {status}")
        if i >= 2:  # the first two warm up
            times[name].append(took * 1000)

print(f"nixl-cu13 {version}, {runs} runs each, interleaved, {os.cpu_count()} cores, ms")
print(f"{'':16}{'median':>10}{'min':>10}{'max':>10}")
for name, ms in times.items():
    print(f"{name:16}{statistics.median(ms):10.2f}{min(ms):10.2f}{max(ms):10.2f}")
ours, theirs = (statistics.median(times[n]) for n in commands)
print(f"ratio of medians: {theirs / ours:.1f}")
END
