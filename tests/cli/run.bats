#!/usr/bin/env bats
# run, prove and render, as far as they go without a container.

load helper

teardown() {
	[ -z "${open:-}" ] || rm -rf "$open"
}

# Runs the test's job there, with this kvpath and F1's EFA tree as /efa.
job_in_container() {
	into "$top/tests/roots/run" --bind "$(dirname "$(dirname "$KVPATH")"):/kvpath" \
		--bind "$("$top/tests/roots/fabric" F1)/opt/amazon/efa:/efa" \
		--file "$BATS_TEST_TMPDIR/job:/job" "$container" sh -e /job
}

@test "run passes the exit status through" {
	kv_bare run -- true
	ended 0
	kv_bare run -- sh -c 'exit 7'
	ended 7
	# shellcheck disable=SC2016 # for the inner shell
	kv_bare run -- sh -c 'kill -TERM $$'
	ended 143
}

@test "run passes arguments and output through" {
	kv_bare run -- printf '%s|' a 'b c' '' -- '*'
	ended 0
	[ "$out" = 'a|b c||--|*|' ] || fail "not what was given"
}

@test "run without a command, or with one that is not there" {
	kv run
	ended 2
	one_line
	kv run --
	ended 2
	one_line
	kv_bare run -- /nonexistent-kvpath
	ended 127
	[[ $err == */nonexistent-kvpath* ]] || fail "it is not named"
}

@test "run refuses a python that leaves its import hook out, by its options and not by other words" {
	kv_bare run -- python3 -W ignore -uS x.py
	ended 2
	one_line "python3 -uS"
	kv_bare run -- /nonexistent/python3 -WSIE -X dev x.py -I
	ended 127
}

@test "run where the environment cannot repair: the command is not started" {
	container
	into "$top/tests/roots/run" --bind "$(dirname "$(dirname "$KVPATH")"):/kvpath" "$container" \
		/kvpath/bin/kvpath run -- echo started
	ended 1
	one_line FABRIC_1.7
}

# Of vLLM's the class that decides: the real one is asked by tests/oracle/frameworks.py.
@test "run says of the job's own variables which keep the bytes off EFA, and starts it" {
	container
	cat >"$BATS_TEST_TMPDIR/job" <<-'EOF'
		FI_PROVIDER=tcp /kvpath/bin/kvpath run --mem dram --fabric /efa -- sh -c 'echo "started with $FI_PROVIDER"'
		FI_PROVIDER=efa /kvpath/bin/kvpath run --mem dram --fabric /efa -- env FI_EFA_MTU_SIZE=1 true
		FI_PROVIDER=efa,tcp /kvpath/bin/kvpath run --mem dram --fabric /efa -- echo quiet
	EOF
	job_in_container
	ended 0
	[ "$out" = $'started with tcp\nquiet' ] || fail "not started as it was asked for"
	[ "$(grep -c KV <<<"$err")" = 2 ] || fail "not one line of each"
	[[ $err == *"FI_PROVIDER=tcp: libfabric leaves its efa provider out (KV313): unset it"*"FI_EFA_MTU_SIZE=1: "*"(KV320)"* ]] ||
		fail "the variables are not named"
}

@test "run gives vLLM its backend where the argument names none, and NIXL an agent that has it" {
	container
	cat >"$BATS_TEST_TMPDIR/job" <<'END'
cd /usr/local/lib/python3.11/dist-packages
mkdir -p vllm/config
touch vllm/__init__.py vllm/config/__init__.py
cat >vllm/config/kv_transfer.py <<'MODULE'
class KVTransferConfig:
    def __init__(self, **extra):
        self.extra = extra

    def get_from_extra_config(self, key, default):
        return self.extra.get(key, default)
MODULE
cat >/worker.py <<'MODULE'
import ctypes
import os
import sys
from nixl_cu13._api import nixl_agent, nixl_agent_config
from vllm.config.kv_transfer import KVTransferConfig

print(KVTransferConfig(backends=["X"]).get_from_extra_config("backends", ["UCX"]),
      KVTransferConfig().get_from_extra_config("backends", []), KVTransferConfig().get_from_extra_config("num_threads", 4))
# As its worker does.
backends = KVTransferConfig().get_from_extra_config("backends", ["UCX"])
others = [b for b in backends if b != "UCX"]
agent = nixl_agent("a", nixl_agent_config(backends=backends) if others else nixl_agent_config(num_threads=4))
memory = ctypes.create_string_buffer(4096)
descs = agent.register_memory(agent.get_reg_descs([(ctypes.addressof(memory), 4096, 0, "")], "DRAM"), backends=backends)
print("registered with", backends)
agent.deregister_memory(descs, backends=backends)
sys.stdout.flush()
os._exit(0)  # python with NIXL's UCX dies as it ends here, by itself too
MODULE
/kvpath/bin/kvpath run --mem dram --fabric /efa -- python3 /worker.py
NIXL_BACKEND=UCX /kvpath/bin/kvpath run --mem dram --fabric /efa -- sh -c 'NIXL_BACKEND=UCX exec python3 /worker.py'
END
	job_in_container
	ended 0
	says "['X'] [] 4" "registered with ['LIBFABRIC']" "registered with ['UCX']"
}

@test "run: what env sets in front of the command is the job's own, not put over what is repaired" {
	container
	cat >"$BATS_TEST_TMPDIR/job" <<'END'
show='echo "$LD_LIBRARY_PATH $PYTHONPATH $NIXL_BACKEND"'
/kvpath/bin/kvpath run --mem dram --fabric /efa -- sh -c "$show"
/kvpath/bin/kvpath run --mem dram --fabric /efa -- env LD_LIBRARY_PATH=/x:/y PYTHONPATH=/z /usr/bin/env A=1 sh -c "$show"
/kvpath/bin/kvpath run --mem dram --fabric /efa -- env 'A=b c' sh -c 'echo "<$A>"'
/kvpath/bin/kvpath run --mem dram --fabric /efa -- env -u A -S 'sh -c' 'echo split'
! /kvpath/bin/kvpath run --mem dram --fabric /efa -- env -vi sh -c "$show"
END
	job_in_container
	ended 0
	says '<b c>' split
	[[ $err == *"run: env -vi takes away what kvpath sets"* ]] || fail "env -i is not refused"
	local plain with
	plain=$(sed -n 1p <<<"$out") with=$(sed -n 2p <<<"$out")
	[ "$with" = "${plain%% *}:/x:/y $(cut -d' ' -f2 <<<"$plain"):/z LIBFABRIC" ] || fail "$plain; with env: $with"
}

@test "fix gives vLLM its backend where the argument names none, and undo takes it back" {
	container
	cat >"$BATS_TEST_TMPDIR/job" <<'END'
cd /usr/local/lib/python3.11/dist-packages
at=vllm/distributed/kv_transfer/kv_connector/v1/nixl
mkdir -p $at
cat >$at/base_worker.py <<'MODULE'
def backends(config):
    return config.get_from_extra_config(
        "backends", ["UCX"]
    )
MODULE
cat >$at/connector.py <<'MODULE'
def sleeps(config):
    # get_from_extra_config("backends", ["UCX"])
    return config.get_from_extra_config("backends", ["UCX"]) == ["UCX"]
MODULE
cat >/ask.py <<'MODULE'
import importlib
import sys

class Config(dict):
    get_from_extra_config = dict.get

sys.path.insert(0, "/usr/local/lib/python3.11/dist-packages/vllm/distributed/kv_transfer/kv_connector/v1/nixl")
worker, connector = importlib.import_module("base_worker"), importlib.import_module("connector")
print(sys.argv[1], worker.backends(Config()), worker.backends(Config(backends=["X"])), connector.sleeps(Config()))
MODULE
cp -r vllm /was
/kvpath/bin/kvpath check --mem dram / | grep -A 9 '^KV201 info' | grep 'repair: kvpath fix'
/kvpath/bin/kvpath check --mem dram --mount /was:$PWD/vllm / | grep -A 9 '^KV201 info' | grep 'by hand: start it with'
python3 -m compileall -q --invalidation-mode unchecked-hash $at
/kvpath/bin/kvpath check --mem dram / | grep -A 9 '^KV201 info' | grep 'by hand: start it with'
find vllm -name __pycache__ -exec rm -r {} +
python3 /ask.py before
/kvpath/bin/kvpath fix --mem dram --fabric /efa / >/said
python3 /ask.py after
NIXL_BACKEND=UCX python3 /ask.py told
! grep vLLM /said
/kvpath/bin/kvpath check --mem dram --json / >/json || true
/kvpath/bin/kvpath fix --mem dram --fabric /efa / | grep '^nothing to do'
/kvpath/bin/kvpath undo --quiet /
find vllm -name __pycache__ -exec rm -r {} +
diff -r vllm /was
cat /json
END
	job_in_container
	ended 0
	says "before ['UCX'] ['X'] True" "after ['LIBFABRIC'] ['X'] False" "told ['UCX'] ['X'] True"
	[[ $out != *vLLM* ]] || fail "it is still spoken of"
}

# Its _api is not found along the path: another finder comes first.
@test "run gives an editable install its default too" {
	container
	cat >"$BATS_TEST_TMPDIR/job" <<'END'
cd /usr/local/lib/python3.11/dist-packages
mkdir -p /src/python
mv nixl_cu13/* /src/python/
mv .nixl_cu13* nixl_cu13.libs /src/
rmdir nixl_cu13
echo 'import _nixl_editable' >nixl-editable.pth
cat >_nixl_editable.py <<'HOOK'
import glob, importlib.util, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "nixl_cu13":
            file = (name.split(".") + ["__init__"])[1]
            return importlib.util.spec_from_file_location(
                name, glob.glob("/src/python/" + file + ".*")[0],
                submodule_search_locations=None if "." in name else ["/nowhere"])
sys.meta_path.insert(0, Finder)
HOOK
/kvpath/bin/kvpath run --mem dram --fabric /efa -- python3 -c '
from nixl_cu13._api import nixl_agent_config
print(nixl_agent_config().backends)'
END
	job_in_container
	ended 0
	says LIBFABRIC
}

@test "prove needs root, and says so" {
	container
	into "$top/tests/roots/run" --bind "$(dirname "$(dirname "$KVPATH")"):/kvpath" \
		--bind "$container:/mnt/c" "$("$top/tests/roots/base")" \
		setpriv --reuid=65534 --regid=65534 --clear-groups /kvpath/bin/kvpath prove --mem dram /mnt/c
	ended 2 3
	one_line root
}

@test "prove of a directory without NIXL proves nothing" {
	mkdir "$BATS_TEST_TMPDIR/empty"
	kv prove "$BATS_TEST_TMPDIR/empty"
	ended 1 2 3
	[ -n "$out$err" ] || fail "no word"
}

@test "prove --quiet and why --quiet print their verdict alone" {
	container
	kv prove --quiet --mem dram "$container"
	ended 1
	[ "$out" = off-fabric ] || fail "more than that"
	kv why --quiet "$container" /usr/local/lib/python3.11/dist-packages/.nixl_cu13.mesonpy.libs/plugins/libplugin_LIBFABRIC.so
	ended 1
	says "in a python process: no" FABRIC_1.7
	[ "$(wc -l <<<"$out")" = 2 ] || fail "more than that"
}

@test "fix and undo where there is nothing to do" {
	mkdir "$BATS_TEST_TMPDIR/empty"
	kv fix "$BATS_TEST_TMPDIR/empty"
	ended 1 3
	kv undo "$BATS_TEST_TMPDIR/empty"
	ended 0 2
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/empty")" ] || fail "something was written"
}

@test "render --for preamble: bash that is well-formed and fails loudly" {
	kv render --for preamble
	ended 0
	says '[bash_preamble] ===== NIXL LIBFABRIC Container Fix ====='
	bash -n <<<"$out" || fail "no bash"
	kv render --for nothing
	ended 2
	one_line nothing
}

@test "run TARGET -- CMD makes the directory its root, passes the status on and writes nothing there" {
	local base
	base=$("$top/tests/roots/base")
	echo here >"$BATS_TEST_TMPDIR/file"
	kv run --mount "$BATS_TEST_TMPDIR:/mnt/seen" "$base" -- sh -c 'cat /etc/debian_version /mnt/seen/file; touch /written; exit 5'
	ended 5
	[[ $out == 12*here ]] || fail "the root is not the target's"
	[ ! -e "$base/written" ] || fail "the target was written to"
}

# F2 has no CUDA, and no efa where its provider's file is not beside it.
@test "the environment brings the libfabric that has efa and CUDA, and says what is lacking" {
	container
	local f1 f2 bare
	f1=$("$top/tests/roots/fabric" F1 2>/dev/null)/opt/amazon/efa
	f2=$("$top/tests/roots/fabric" F2 2>/dev/null)/opt/amazon/efa
	bare=$f2/lib/libfabric.so.1:/usr/lib/x86_64-linux-gnu/libfabric.so.1.20.0
	# shellcheck disable=SC2016 # the container's shell shall expand it
	set -- "$container" -- sh -c 'readlink "$LD_LIBRARY_PATH/libfabric.so.1"'
	kv run --fabric "$f2" --fabric "$f1" "$@"
	ended 0
	[ "$out$err" = "$f1/lib/libfabric.so.1.29.0" ] || fail "not the one with CUDA"
	kv run --fabric "$f2" "$@"
	ended 0
	[[ $out == "$f2"* && $err == *"without CUDA"*KV404* ]] || fail "GPU memory is passed over"
	kv run --mem dram --fabric "$f2" "$@"
	ended 0
	[ -z "$err" ] || fail "host memory needs no CUDA"
	for how in "render --for env" "fix --how env"; do
		# shellcheck disable=SC2086 # two words
		kv $how --fabric "$f2" --fabric "$f1" "$container"
		ended 0
		says "LD_LIBRARY_PATH=$f1/lib"
		[[ $err == *KV402* && $err != *$'\n'* ]] || fail "libcudart.so is passed over"
		# shellcheck disable=SC2086
		kv $how --fabric "$f1" --mount "$bare" "$container"
		ended 0
		says "LD_LIBRARY_PATH=$f1/lib"
		# shellcheck disable=SC2086
		kv $how --mount "$bare" "$container"
		ended 1
		one_line "no efa provider" KV307
		# shellcheck disable=SC2086
		kv $how --mem dram --fabric "$f2" "$container"
		ended 0
		[ -z "$err" ] || fail "host memory needs no CUDA"
	done
}

@test "run mounts nothing for a command that has no root of its own" {
	kv run --mount /usr:/mnt -- true
	ended 2
	one_line --mount TARGET
}

@test "run TARGET without root says what it needs" {
	into setpriv --reuid 65534 --clear-groups "$KVPATH" run /usr -- true
	ended 2
	one_line CAP_SYS_ADMIN
}

@test "run TARGET -- without a command is wrong usage" {
	kv run / --
	ended 2
	one_line command
}
