"""Import hook of `kvpath run`: NIXL's default backend becomes NIXL_BACKEND, else the one kvpath was asked for.

Python imports the first `sitecustomize` on its path at start. This one wraps the import of NIXL's `_api` modules,
and of vLLM's that names UCX itself where its argument names nothing, changes nothing else, and then runs the
`sitecustomize` that it stands before, if there is one.
"""
import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_VLLM = "vllm.config.kv_transfer"
_MODULES = ("nixl._api", "nixl_cu12._api", "nixl_cu13._api", _VLLM)


def _backends():
    return (os.environ.get("NIXL_BACKEND") or os.environ.get("KVPATH_BACKEND", "LIBFABRIC")).split(",")


def _set_default(module):
    """Replaces the default of `backends` wherever it stands among the parameters."""
    init = module.nixl_agent_config.__init__
    code = init.__code__
    positional = code.co_varnames[: code.co_argcount]
    defaults = list(init.__defaults__ or ())
    first = len(positional) - len(defaults)
    if "backends" in positional[first:]:
        defaults[positional.index("backends") - first] = _backends()
        init.__defaults__ = tuple(defaults)
    elif "backends" in (init.__kwdefaults__ or {}):
        init.__kwdefaults__["backends"] = _backends()
    else:
        sys.stderr.write("kvpath: %s: no default of `backends` found; it stays as it is\n" % module.__name__)


def _set_vllm(module):
    """vLLM's NIXL connector asks its configuration for "backends", and gives ["UCX"] as what else to take."""
    config = getattr(module, "KVTransferConfig", None)
    get = getattr(config, "get_from_extra_config", None)
    if get is None:
        sys.stderr.write("kvpath: %s: no get_from_extra_config found; it stays as it is\n" % module.__name__)
        return

    def get_from_extra_config(self, key, default):
        return get(self, key, _backends() if key == "backends" and default == ["UCX"] else default)

    config.get_from_extra_config = get_from_extra_config


class _Loader:
    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        if module.__name__ == _VLLM:
            _set_vllm(module)
        elif hasattr(module, "nixl_agent_config"):
            _set_default(module)


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _MODULES:
            return None
        # An editable install brings a finder of its own.
        for finder in sys.meta_path:
            find = None if finder is _Finder else getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec:
                spec.loader = spec.loader and _Loader(spec.loader)
                return spec
        return None


def _run_the_next_one():
    rest = [p for p in sys.path if os.path.abspath(p or os.curdir) != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


sys.meta_path.insert(0, _Finder)
_run_the_next_one()
