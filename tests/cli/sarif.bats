#!/usr/bin/env bats
# check --sarif and lint --sarif: one document of SARIF 2.1.0, held against what --json says.

load helper

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# What every document keeps.
valid='
	.version == "2.1.0" and (."$schema" | endswith("/sarif-schema-2.1.0.json"))
	and (.runs | length == 1)
	and (.runs[0] | . as $run | .tool.driver.rules as $rules
		| .tool.driver.name == "kvpath" and (.tool.driver.version | test("^[0-9]+[.][0-9]+[.][0-9]+"))
		and ($rules | map(.id) | length == (unique | length))
		and all($rules[]; (.id | test("^KV[0-9]{3}$")) and .shortDescription.text != ""
			and .fullDescription.text != "" and (.id as $id | .help.markdown | startswith("# \($id): "))
			and .help.text == .help.markdown)
		and ([.results[].ruleId] | unique) == ($rules | map(.id) | sort)
		and all(.results[]; .ruleId == $rules[.ruleIndex].id and (.level | IN("error", "warning", "note"))
			and .message.text != ""
			and all(.locations[]; has("physicalLocation") != has("logicalLocations")))
		and all(.results[].locations[].physicalLocation | values; (.region // {startLine: 1, startColumn: 1}
				| .startLine >= 1 and (.startColumn // 1) >= 1)
			and (.artifactLocation | (.uri | test("^([A-Za-z0-9._~/-]|%[0-9A-F]{2})+$|^file:///([A-Za-z0-9._~/-]|%[0-9A-F]{2})*$"))
				and (if has("uriBaseId") then .uriBaseId as $id | ($run.originalUriBaseIds | has($id))
					and (.uri | startswith("/") or startswith("file:") or test("(^|/)[.][.](/|$)") | not)
				else true end)))
		and all(.originalUriBaseIds[]; .uri | test("^file:///(([A-Za-z0-9._~-]|%[0-9A-F]{2})+/)*$"))
		and ([.results[].partialFingerprints["kvpathFinding/v1"]] | all(test("^[0-9a-f]{64}:[0-9]+$"))
			and length == (unique | length))
		and (.invocations | length == 1) and (.invocations[0] | has("executionSuccessful") and has("exitCode")))
	and ([.. | strings] | all(test("[\u0000-\u0008\u000b-\u001f\u007f]") | not))
'

# sarif COMMAND ARG...: the document holds, and says what --json says, with the same status.
sarif() {
	local plain ended_with
	kv "$1" --json "${@:2}"
	plain=$out
	ended_with=$status
	kv "$1" --sarif "${@:2}"
	ended "$ended_with"
	[ -z "$err" ] || fail "stderr is not empty"
	json "$valid"
	json --argjson status "$status" '.runs[0].invocations[0].exitCode == $status'
	json --argjson plain "$plain" '
		{error: "error", warning: "warning", info: "note"} as $level
		| [.runs[0].results[] | [.ruleId, .level]]
			== [$plain | (.findings // .files[].findings)[] | [.id, $level[.severity]]]'
}

@test "the container: each finding with its files, inside of the target" {
	container
	sarif check "$container"
	ended 1
	json --arg uri "file://$container/" '.runs[0].originalUriBaseIds.TARGET.uri == $uri
		and (.runs[0].invocations[0] | .executionSuccessful and .exitCodeDescription == "off-fabric")'
	json '.runs[0].results | any(.ruleId == "KV201" and .level == "error" and (.message.text | contains("UCX"))
		and (.locations[0].physicalLocation | .region.startLine > 100 and .artifactLocation.uriBaseId == "TARGET"
			and (.artifactLocation.uri | endswith("/nixl_cu13/_api.py"))))'
	jq -r '.runs[0].results[].locations[].physicalLocation.artifactLocation.uri' <<<"$out" >uris
	[ -s uris ]
	while read -r uri; do
		[ -e "$container/$uri" ] || fail "there is no $uri"
	done <uris
	jq -r '.runs[0].results[] | select(.ruleId == "KV201").locations[0].physicalLocation
		| "\(.region.startLine)p", .artifactLocation.uri' <<<"$out" >at
	sed -n "$(sed -n 1p at)" "$container/$(sed -n 2p at)" | grep -q backends
}

@test "what is no file is a logical location; what is borrowed lies outside of the target" {
	container
	sarif check --env FI_PROVIDER=tcp --fabric "$("$top/tests/roots/fabric" D13 2>/dev/null)" "$container"
	json '.runs[0].results | any(.locations[].logicalLocations[0] // {} |
		.fullyQualifiedName == "FI_PROVIDER" and .kind == "variable")'
	json '.runs[0].results[] | select(.ruleId == "KV114").locations[0].physicalLocation.artifactLocation
		| (has("uriBaseId") | not) and (.uri | startswith("file:///") and contains("/libfabric.so"))'
}

@test "a place that is called by way of .. is called by where links lead" {
	container
	cp -a "$container/usr/lib/x86_64-linux-gnu" libs
	rm libs/libfabric.so*
	sarif check --mount "$PWD/libs:/usr/lib/x86_64-linux-gnu" --env LD_LIBRARY_PATH=/lib/../share "$container"
	json '.runs[0].results[] | select(.ruleId == "KV103").locations
		| any(.physicalLocation.artifactLocation.uri == "usr/share/libfabric.so.1")'
	sarif check --env NIXL_PLUGIN_DIR=/lib/apt/.. "$container"
	json '.runs[0].results[] | select(.ruleId == "KV205").locations
		| any(.physicalLocation.artifactLocation.uri == "usr/lib")'
	sarif check --env NIXL_PLUGIN_DIR=/none/../lib "$container"
	json '.runs[0].results[] | select(.ruleId == "KV205").locations
		| any(.logicalLocations[0].fullyQualifiedName == "/none/../lib")'
}

@test "a recorded host has a place of its own" {
	"$top/tests/hosts/hosts.py" p5 host
	mkdir host/none empty
	rm -rf host/sys/class/infiniband_verbs
	sarif check --sysroot host empty
	json --arg uri "file://$PWD/host/" '.runs[0] | .originalUriBaseIds.HOST.uri == $uri
		and any(.results[].locations[].physicalLocation.artifactLocation // {};
			.uriBaseId == "HOST" and (.uri | startswith("sys/")))'
}

@test "nothing that names a file: the target as a whole; the same print wherever it lies" {
	mkdir a b
	sarif check a
	json '.runs[0].results[] | select(.ruleId == "KV203").locations == [{physicalLocation: {artifactLocation:
		{uri: "./", uriBaseId: "TARGET"}}}]'
	jq '.runs[0].results[].partialFingerprints' <<<"$out" >prints
	kv check --sarif b/../b
	diff prints <(jq '.runs[0].results[].partialFingerprints' <<<"$out") || fail "the prints differ"
	json --arg uri "file://$PWD/b/" '.runs[0].originalUriBaseIds.TARGET.uri == $uri'
}

@test "cannot tell is no success" {
	mkdir -p "$(printf 'deep/%.0s' $(seq 300))"
	sarif check deep
	ended 3
	json '.runs[0].invocations[0] | .executionSuccessful == false and .exitCode == 3 and .exitCodeDescription == "unknown"'
	json '.runs[0].results | any(.[].locations[].physicalLocation.artifactLocation; .uriBaseId == "TARGET" and (.uri | startswith("deep/deep/")))'
}

@test "names that are no text, and text that drives a terminal" {
	local odd=$'a b\e[31m%#?:\n\xff\xc3\xa9'
	mkdir "$odd"
	sarif check "$odd"
	json '.runs[0].originalUriBaseIds.TARGET.uri | endswith("/a%20b%1B%5B31m%25%23%3F%3A%0A%FF%C3%A9/")'
	printf 'name: x\nmodel: {path: m, container: c, precision: fp8}\nresources: {gpu_type: gb200}\n"\\e[2Jx\\ny": 1\n' >"$odd.yaml"
	sarif lint "$odd.yaml"
	json '.runs[0].results[0] | .locations[0].physicalLocation.artifactLocation.uri
		== "a%20b%1B%5B31m%25%23%3F%3A%0A%FF%C3%A9.yaml" and (.message.text | contains("\\x1b[2Jx\\x0ay"))'
}

srtctl='name: x
model: {path: m, container: c, precision: fp8}
resources: {gpu_type: gb200}
environment: {LD_LIBRARY_PATH: "/a:$X", OTHER: $X, MORE: $Y}
bash_preamble: x'

@test "recipes: line and column, and prints that stay when lines move" {
	printf '%s\n' "$srtctl" >r.yaml
	sarif lint r.yaml
	ended 1
	json '.runs[0] | .originalUriBaseIds == {} and (.invocations[0].executionSuccessful)
		and (.results | map(.ruleId) == ["KV702", "KV702", "KV702", "KV701"])'
	json '.runs[0].results[0] | .level == "error" and .locations == [{physicalLocation: {artifactLocation: {uri: "r.yaml"},
		region: {startLine: 4, startColumn: 33}}}]'
	jq '.runs[0].results[].partialFingerprints' <<<"$out" >prints
	printf '# one\n# two\n%s\n' "$srtctl" >r.yaml
	sarif lint r.yaml
	json '.runs[0].results[0].locations[0].physicalLocation.region.startLine == 6'
	diff prints <(jq '.runs[0].results[].partialFingerprints' <<<"$out") || fail "the prints differ"
	cp r.yaml s.yaml
	sarif lint --strict r.yaml "$PWD/s.yaml"
	json --arg uri "file://$PWD/s.yaml" '.runs[0].results | length == 8
		and .[7].locations[0].physicalLocation.artifactLocation == {uri: $uri}'
	kv lint --sarif absent.yaml
	ended 2
	one_line absent.yaml
}

@test "nothing found: no results; what can not be told is a note, and a secret is not shown" {
	sarif lint "$top/examples/glm-4.7-fp4-efa/recipe.yaml"
	ended 0
	json '.runs[0] | [.results[] | [.ruleId, .level]] == [["KV710", "note"]]'
	printf 'apiVersion: v1\nkind: Pod\n' >pod.yaml
	sarif lint pod.yaml
	json '.runs[0] | .results == [] and .tool.driver.rules == []'
	printf 'name: x\nmodel: {path: m, container: c, precision: fp8}\nresources: {gpu_type: gb200}\nenvironment: {HF_TOKEN: hf_abcdefghijk}\n' >r.yaml
	sarif lint r.yaml
	json '.runs[0].results | map(.ruleId) == ["KV704"]'
	[[ $out != *abcdefghijk* ]] || fail "the secret is shown"
}

@test "--json and --sarif are two answers: wrong usage" {
	for c in "check --json --sarif /" "check --sarif --json /" "lint --sarif x.yaml --json"; do
		# shellcheck disable=SC2086 # words
		kv $c
		ended 2
		one_line --json --sarif
	done
	kv why --sarif /
	ended 2
	one_line --sarif
}
