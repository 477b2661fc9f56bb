#!/usr/bin/env bats
# size: sums of known models, links, what can not be told. The sums themselves: tests/unit/test_geometry.c.

load helper

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

@test "a request of 30,000 tokens of GLM-4.7 in fp8 needs 28 ms at best on 200 GB/s" {
	kv size glm-4.7 --tokens 30000 --dtype fp8 --tp 4
	ended 0
	says "5.65 GB" "188416 B" "28.3 ms" "1.41 GB" "345000" "4 KiB" "MTP"
	kv size glm-4.7 --tokens 30000 --dtype fp8 --json
	ended 0
	json '.schema == "kvpath.size/1" and .bytes_per_request == 5652480000 and .bytes_moved == 5652480000
		and .model.layers == 92 and .model.attention == "gqa" and (.model.source | length > 0)
		and .descriptors == [{"what": "data", "count": 345000, "bytes": 16384}]
		and ([.links[] | select(.name == "16 x 100 Gb/s")][0].seconds * 10000 | floor) == 282'
	kv size glm-4.7 --tokens 30000 --dtype fp8 --quiet
	ended 0
	[ "$out" = 5652480000 ]
}

@test "an MLA cache is on every rank" {
	kv size deepseek-v3 --tokens 1000 --tp 8 --page 64 --layout page --json
	ended 0
	json '.copies == 8 and .bytes_per_rank == .bytes_moved and .pages == 16 and .model.attention == "mla"
		and .bytes_moved == 64 * 16 * 61 * 576 * 2 and .descriptors[0].count == 16'
}

@test "rates of a result of bench are links of this host" {
	cat >r.json <<-'EOF'
		{"schema": "kvpath.bench/1", "host": {}, "runs": [
		{"engine": "tcp", "provider": null, "op": "write", "mem": "dram", "size": 16384, "bytes_per_s": 1e9, "intact": true}]}
	EOF
	kv size glm-4.7 --tokens 30000 --dtype fp8 --result r.json
	ended 0
	says "5.65 s" "1.00 GB/s" "tcp write dram, 16 KiB"
	kv size glm-4.7 --tokens 30000 --result absent.json
	ended 2
	one_line absent.json "No such file"
	echo '{"schema": "kvpath.bench/9"}' >r.json
	kv size glm-4.7 --tokens 30000 --result r.json
	ended 2
	one_line r.json kvpath.bench/1
}

@test "what is not modelled is not guessed" {
	echo '{"model_type": "x", "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 8, "full_attention_interval": 4}' >c.json
	kv size c.json --tokens 10
	ended 3
	one_line c.json "cannot tell" full_attention_interval
	echo '{"num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 8, "sliding_window": 100}' >c.json
	kv size c.json --tokens 100
	ended 0
	says "not known"
	kv size c.json --tokens 101
	ended 3
	one_line "cannot tell"
}

@test "wrong usage is one line that says what to do" {
	kv size
	ended 2
	one_line glm-4.7
	kv size glm-4.7
	ended 2
	one_line --tokens
	kv size glm-4.8 --tokens 1
	ended 2
	one_line glm-4.8 glm-4.7
	kv size glm-4.7 --tokens 1 --tp 3
	ended 2
	one_line "8 KV heads"
	kv size glm-4.7 --tokens 0
	ended 2
	one_line --tokens
	kv size . --tokens 1
	ended 2
	one_line directory
	kv size glm-4.7 --tokens 1 --dtype fp7
	ended 2
	one_line fp7 bf16
}
