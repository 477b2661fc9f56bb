# shellcheck shell=bash disable=SC2034
# Words for the changes of scenarios. They run in the target's root, so that its paths are relative. $PYTHON is its python's version.

LIB=usr/lib/x86_64-linux-gnu
SITE=usr/local/lib/python$PYTHON/dist-packages
NIXL=$SITE/.nixl_cu13.mesonpy.libs
API=$SITE/nixl_cu13/_api.py

# remove PATTERN...: each must match something.
remove() {
	local path
	for path in "$@"; do
		if [ ! -e "$path" ] && [ ! -L "$path" ]; then
			echo "$path: nothing to remove" >&2
			return 1
		fi
		rm -r "$path"
	done
}

# What a package's trigger or a Dockerfile does after a library came or went.
cache() {
	chroot . ldconfig
}

# efa NAME [DIRECTORY]: a fabric source as its installer leaves it.
efa() {
	local from=EFA_$1
	mkdir -p "${2:-opt/amazon}"
	cp -a "${!from}" "${2:-opt/amazon}/"
}

# fix NAME [OPTION...]
fix() {
	local from=EFA_$1
	"$KVPATH" fix --quiet "${@:2}" --fabric "${!from}" . >/dev/null
}

# edit FILE SED-SCRIPT: it must change something.
edit() {
	local before
	before=$(sha256sum <"$1")
	sed -i -E "$2" "$1"
	if [ "$before" = "$(sha256sum <"$1")" ]; then
		echo "$1: nothing changed" >&2
		return 1
	fi
}

# library SONAME OUTPUT [SOURCE [OPTION...]]: a shared object of its own, without libc.
library() {
	gcc -shared -fPIC -nostdlib -Wl,-soname,"$1" -x c "${@:4}" -o "$2" "${3:-/dev/null}"
}

# no_rdma: the target without any part of rdma-core.
no_rdma() {
	remove $LIB/libefa.so* $LIB/libibverbs.so* $LIB/libnl-* $LIB/librdmacm.so*
	cache
}

# psm2: the repaired container's libfabric as distributions build it, with PSM2, which needs the system's libnuma.
psm2() {
	patchelf --add-needed libpsm2.so.2 opt/kvpath/fabric/libfabric.so.1.29.0
}

# wheel NAME VERSION [MACHINE]: a wheel beside NIXL, as pip unpacks it.
wheel() {
	unzip -qo "$(bash -c '. "$0/lib.sh"; wheel "$@"' "$ROOTS" "$1" "$2" "${3:-x86_64}" "$PYTHON")" -d "$SITE"
}

# install NAME VERSION CUDA: a NIXL in a root that has none, as tests/roots/container does it.
install() {
	mkdir -p "$SITE" usr/local/cuda/lib64
	echo /usr/local/cuda/lib64 >etc/ld.so.conf.d/cuda.conf
	wheel "$1" "$2"
	bash -c '. "$0/lib.sh"; add_stubs "$PWD" "$1"' "$ROOTS" "$SITE"
	cuda "$3"
}

# wheel_at DIRECTORY VERSION: the libraries of another NIXL, without its package.
wheel_at() {
	mkdir -p "$1"
	SITE=$1 wheel nixl-cu13 "$2"
	rm -r "$1/nixl_cu13"
}

# torch VERSION|None: the CUDA that torch was built for, as torch's own build writes it (tools/generate_torch_version.py).
torch() {
	local cuda=$1
	[ "$cuda" = None ] || cuda="'$cuda'"
	printf '%s\n' 'from typing import Optional as _Optional' '' "__version__ = '2.9.0'" 'debug = False' \
		"cuda: _Optional[str] = $cuda" 'hip: _Optional[str] = None' >"$SITE/torch/version.py"
}

# torch_brings global|extension: the CUDA runtime out of the system, and torch as the only one who brings it: by the library that
# it opens for the whole process, or by its extension module.
torch_brings() {
	local lib=$SITE/nvidia/cu13/lib global=() extension=()
	mkdir -p "$lib" "$SITE/torch/lib"
	cp -L usr/local/cuda/lib64/libcudart.so.13 "$lib/"
	rm usr/local/cuda/lib64/libcudart.so*
	cache
	local -n who=$1
	# shellcheck disable=SC2034 # by its other name
	who=("-Wl,--no-as-needed,$lib/libcudart.so.13,-rpath,/$lib")
	library libtorch_global_deps.so "$SITE/torch/lib/libtorch_global_deps.so" /dev/null "${global[@]}"
	library _C.so "$SITE/torch/_C.cpython-${PYTHON/./}-x86_64-linux-gnu.so" /dev/null "${extension[@]}"
	printf '%s\n' 'import ctypes, os' 'here = os.path.dirname(__file__)' \
		'ctypes.CDLL(here + "/lib/libtorch_global_deps.so", ctypes.RTLD_GLOBAL)' \
		"extension = ctypes.CDLL(here + '/_C.cpython-${PYTHON/./}-x86_64-linux-gnu.so')" >>"$SITE/torch/__init__.py"
}

# nccl_net FILE: a stand-in of aws-ofi-nccl, linked to the system's libfabric; the torch of torch_brings opens it as NCCL does.
nccl_net() {
	library "$1" "$LIB/$1" /dev/null "-Wl,--no-as-needed,$LIB/libfabric.so.1"
	printf '%s\n' 'import contextlib' 'named = os.environ.get("NCCL_NET_PLUGIN", "libnccl-net.so")' \
		'for name in [] if named == "none" else [named, f"libnccl-net-{named}.so"]:' '    with contextlib.suppress(OSError):' \
		'        ctypes.CDLL(name)' >>"$SITE/torch/__init__.py"
	cache
}

# old_verbs: a stand-in of a libibverbs too old for any libfabric in its place, and the torch of torch_brings opens it as NCCL does.
old_verbs() {
	local script
	script=$(mktemp --suffix=.map)
	echo 'IBVERBS_1.0 { }; IBVERBS_1.1 { }; IBVERBS_PRIVATE_25 { };' >"$script"
	remove $LIB/libibverbs.so.1.*
	library libibverbs.so.1 $LIB/libibverbs.so.1.8.33.0 /dev/null "-Wl,--version-script=$script"
	rm "$script"
	cache
	printf '%s\n' 'if os.environ.get("NCCL_IB_DISABLE") != "1":' '    with contextlib.suppress(OSError):' \
		'        ctypes.CDLL("libibverbs.so.1")' >>"$SITE/torch/__init__.py"
	sed -i '1i import contextlib' "$SITE/torch/__init__.py"
}

# cuda 12|13: the CUDA runtime of that version, and no other, with its name for developers.
cuda() {
	local name=nvidia-cuda-runtime version=13.5.37
	[ "$1" = 13 ] || name=nvidia-cuda-runtime-cu12 version=12.8.90
	rm -f usr/local/cuda/lib64/libcudart.so*
	unzip -qoj "$(bash -c '. "$0/lib.sh"; wheel "$@"' "$ROOTS" "$name" "$version")" '*/libcudart.so.*' -d usr/local/cuda/lib64
	ln -s "libcudart.so.$1" usr/local/cuda/lib64/libcudart.so
	cache
}

# sglang NAME...: SGLang's files that name NIXL's backend and take these names of it.
sglang() {
	local names=$*
	mkdir -p "$SITE/sglang/srt/disaggregation/nixl"
	echo 'SGLANG_DISAGGREGATION_NIXL_BACKEND = EnvStr("UCX")' >"$SITE/sglang/srt/environ.py"
	printf '%s\n' 'class Manager:' '    def __init__(self):' "        from nixl._api import ${names// /, }" \
		>"$SITE/sglang/srt/disaggregation/nixl/conn.py"
}

# vllm VERSION: vLLM's files that import NIXL and ask for that version of it.
vllm() {
	mkdir -p "$SITE/vllm/distributed/kv_transfer/kv_connector/v1/nixl"
	printf '%s\n' 'import importlib' 'api = importlib.import_module("nixl._api")' >"$SITE/vllm/distributed/nixl_utils.py"
	printf '%s\n' "check_nixl_version(\"$1\")" 'backends = config.get_from_extra_config("backends", ["UCX"])' \
		>"$SITE/vllm/distributed/kv_transfer/kv_connector/v1/nixl/base_worker.py"
}
