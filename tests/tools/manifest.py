"""manifest.py DEFINITIONS MANIFEST: holds each document of a manifest against Kubernetes' schema of its kind.

Prints the documents as JSON.
"""
import json
import sys

import jsonschema
import yaml

KINDS = {("v1", "Secret"): "io.k8s.api.core.v1.Secret", ("v1", "Service"): "io.k8s.api.core.v1.Service",
         ("batch/v1", "Job"): "io.k8s.api.batch.v1.Job"}


def main():
    definitions, manifest = sys.argv[1:3]
    with open(definitions, encoding="utf-8") as f:
        defs = json.load(f)["$defs"]
    with open(manifest, encoding="utf-8") as f:
        docs = list(yaml.safe_load_all(f))
    for doc in docs:
        name = KINDS[doc["apiVersion"], doc["kind"]]
        jsonschema.validate(doc, {"$defs": defs, "$ref": "#/$defs/" + name}, cls=jsonschema.Draft202012Validator)
    print(json.dumps(docs))


main()
