#!/usr/bin/env bash
# check.sh [--json] [-n RUNS] [VERSION]: how long `kvpath check` takes on a container, beside the shell preamble
# that launch recipes run at each task start (strings, ldd, import nixl, sed). Interleaved, in one
# run, everything in the page cache. Prints figures; asserts and records nothing.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=bench/lib.sh
. "$top/bench/lib.sh"
bench_arguments "$@"

if [ -z "${KVPATH_BENCH_NS:-}" ]; then
	KVPATH_BENCH_NS=1 exec unshare --mount --propagation private -- "${BASH_SOURCE[0]}" "$@"
fi

bench_root "$("$top/tests/roots/container" "$version")"
bench_preamble >/mnt/preamble.sh

exec python3 - "$form" "$runs" "${KVPATH:-$top/build/bin/kvpath}" "$version" <<'END'
import os
import statistics
import subprocess
import sys
import time

import common

form, runs, kvpath, version = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
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

if form == "json":
    common.report("check", runs, [common.summary(f"nixl-cu13 {version}", name, ms, mib=common.peak_mib(commands[name]))
                                  for name, ms in times.items()])
    sys.exit()
print(f"nixl-cu13 {version}, {runs} runs each, interleaved, {os.cpu_count()} cores, ms")
print(f"{'':16}{'median':>10}{'min':>10}{'max':>10}")
for name, ms in times.items():
    print(f"{name:16}{statistics.median(ms):10.2f}{min(ms):10.2f}{max(ms):10.2f}")
ours, theirs = (statistics.median(times[n]) for n in commands)
print(f"ratio of medians: {theirs / ours:.1f}")
END
