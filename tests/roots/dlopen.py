"""dlopen.py MODULE [FILE...]: which plugins of a NIXL the real loader loads, as NIXL opens them.

Runs inside the container: imports MODULE's binding, then opens each plugin beside the libnixl.so
that this has mapped, by the path that NIXL itself would use, with RTLD_NOW | RTLD_LOCAL, each in a
child of its own. torch+MODULE imports torch before. Prints one JSON object: {NAME: {"path", "loads": "yes|no|abort", "error"}}.
FILEs are opened in place of the plugins; their NAMEs are the paths.
"""
import ctypes
import glob
import importlib
import json
import os
import re
import signal
import sys

DEADLINE_S = 60


class PhdrInfo(ctypes.Structure):
    _fields_ = [("addr", ctypes.c_void_p), ("name", ctypes.c_char_p)]


def mapped():
    """The loader's own names of all mapped objects, in load order."""
    names = []
    callback_type = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(PhdrInfo), ctypes.c_size_t, ctypes.c_void_p)

    def note(info, _size, _data):
        names.append((info.contents.name or b"").decode())
        return 0

    ctypes.CDLL(None).dl_iterate_phdr(callback_type(note), None)
    return names


def attempt(path):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(DEADLINE_S)
        os.dup2(2, 1)
        try:
            ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
            answer = {"loads": "yes", "error": None}
        except OSError as e:
            answer = {"loads": "no", "error": str(e)}
        os.write(writes, json.dumps(answer).encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as stream:
        text = stream.read()
    status = os.waitpid(child, 0)[1]
    if text:
        return json.loads(text)
    return {"loads": "abort", "error": None, "status": status}


def main():
    first, _, module = sys.argv[1].rpartition("+")
    if first:
        importlib.import_module(first)
    importlib.import_module(module + "._bindings")
    if sys.argv[2:]:
        print(json.dumps({path: {"path": path, **attempt(path)} for path in sys.argv[2:]}))
        return
    nixl = [n for n in mapped() if os.path.basename(n) == "libnixl.so"]
    where = os.environ.get("NIXL_PLUGIN_DIR") or os.path.dirname(nixl[0]) + "/plugins"
    paths = sorted(glob.glob(where + "/libplugin_*.so"))
    answers = {}
    for path in paths:
        name = re.sub(r"^libplugin_|\.so$", "", os.path.basename(path))
        answers[name] = {"path": path, **attempt(path)}
    print(json.dumps(answers, indent=1))


main()
