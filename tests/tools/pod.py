"""pod.py DEFINITIONS PATCH: merges a strategic merge patch into a small pod and holds the result against Kubernetes' schema of it.

Prints the merged pod as JSON. Of the merge only what the patch may use is done: lists of containers, volumes,
variables and mounts are merged by their keys, as the API types say.
"""
import json
import sys

import jsonschema
import yaml

KEYS = {"containers": "name", "volumes": "name", "env": "name", "volumeMounts": "mountPath"}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "decode-0"},
    "spec": {"containers": [{"name": "worker", "image": "registry.example/dynamo:1",
                             "env": [{"name": "NIXL_BACKEND", "value": "UCX"}]}]},
}


def merge(old, new, name=None):
    if isinstance(old, dict) and isinstance(new, dict):
        return {k: merge(old[k], new[k], k) if k in old and k in new else new.get(k, old.get(k))
                for k in {**old, **new}}
    if isinstance(old, list) and name in KEYS:
        key, out = KEYS[name], list(old)
        for item in new:
            at = [i for i, x in enumerate(out) if x[key] == item[key]]
            if at:
                out[at[0]] = merge(out[at[0]], item)
            else:
                out.append(item)
        return out
    return new


def main():
    definitions, patch_file = sys.argv[1:3]
    with open(definitions, encoding="utf-8") as f:
        defs = json.load(f)["$defs"]
    with open(patch_file, encoding="utf-8") as f:
        pod = merge(POD, yaml.safe_load(f))
    jsonschema.validate(pod, {"$defs": defs, "$ref": "#/$defs/io.k8s.api.core.v1.Pod"},
                        cls=jsonschema.Draft202012Validator)
    print(json.dumps(pod))


main()
