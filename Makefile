# The front door; meson does the work.
CROSS ?=
BUILD ?= $(if $(CROSS),build-$(CROSS),build)
cross := $(if $(CROSS),--cross-file scripts/cross/$(CROSS).ini)

.PHONY: build install dist dist-test clean-room help deps test demo oracle oracle-objects oracle-suites oracle-targets oracle-recipes oracle-manifests oracle-logs oracle-images oracle-releases frameworks real-torch real-frameworks cli bench peers kill-test hostile crowd soak fuzz docs screenshots lint coverage clean

build: $(BUILD)/build.ninja
	@meson compile -C $(BUILD)
	@install -D $(BUILD)/src/kvpath $(BUILD)/bin/kvpath
	@install -D $(BUILD)/src/kvpath-probe $(BUILD)/libexec/kvpath/kvpath-probe
	@[ ! -d $(BUILD)/src/manual/man1 ] || { rm -rf $(BUILD)/share/man && install -d $(BUILD)/share/man && \
		cp -R $(BUILD)/src/manual/man1 $(BUILD)/share/man; }

$(BUILD)/build.ninja:
	@meson setup $(cross) $(BUILD)

# Everything below PREFIX; DESTDIR in front of it for who makes packages.
PREFIX ?= /usr/local
install: build
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@meson install -C $(BUILD) --no-rebuild $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

# OUT=DIR: where to; else dist.
dist:
	@packaging/dist.sh $(OUT)

dist-test:
	@tests/dist/dist-test.sh

clean-room:
	@tests/dist/clean-room.sh $(or $(SUITE),bookworm) $(WHAT)

help:
	@printf '%-38s %s\n' 'make' 'builds build/bin/kvpath and build/libexec/kvpath/kvpath-probe'
	@printf '%-38s %s\n' 'make CROSS=aarch64' 'builds the same for aarch64, in build-aarch64'
	@printf '%-38s %s\n' 'make install PREFIX=/usr/local DESTDIR=' 'programs, libkvpath, man pages, completions, examples, docs, the plugin for Slurm'
	@printf '%-38s %s\n' 'make dist' 'release files in dist: tarballs, .deb, .rpm, wheels, SBOMs, SHA256SUMS; the same bytes each time'
	@printf '%-38s %s\n' 'make dist-test' 'builds them in two places and compares; installs and starts them where nothing else is (root)'
	@printf '%-38s %s\n' 'make clean-room SUITE=trixie WHAT="demo test"' 'those targets in a new Debian (bookworm, trixie) with nothing of ours (root)'
	@printf '%-38s %s\n' 'make deps' 'installs what building and testing need (Debian 12, root)'
	@printf '%-38s %s\n' 'make demo' 'the story on a real broken container: check, fix, prove, undo (root)'
	@printf '%-38s %s\n' 'make test' 'every test: two compilers, sanitizers, command line, real containers (root)'
	@printf '%-38s %s\n' 'make oracle' 'only the comparison with the real loader and the real NIXL (root)'
	@printf '%-38s %s\n' 'make oracle-objects' 'every ELF object of the containers against the real loader (root)'
	@printf '%-38s %s\n' 'make oracle-suites' 'the real NIXL in Ubuntu 22.04, 24.04, 26.04 and Debian 13 (root)'
	@printf '%-38s %s\n' 'make oracle-targets N=300' 'that many containers changed by chance: check, fix, undo, run and what launchers bring beside the real NIXL (root)'
	@printf '%-38s %s\n' 'make oracle-recipes N=1000' 'that many batch scripts made by chance: lint beside the real bash'
	@printf '%-38s %s\n' 'make oracle-logs N=1000' 'that many jobs made by chance of the real NIXL'"'"'s logs: what log says of each worker'
	@printf '%-38s %s\n' 'make oracle-images N=40' 'that many squashfs images made by chance: check, fix --dry-run and bake beside Linux and unsquashfs (root)'
	@printf '%-38s %s\n' 'make oracle-manifests N=1000' 'that many objects of Kubernetes made by chance: lint beside a model of the kubelet'
	@printf '%-38s %s\n' 'make oracle-releases' 'each release of NIXL that is on the index, the same; 3 GB of downloads (root)'
	@printf '%-38s %s\n' 'make oracle N=20000' 'the model of ld.so on that many random trees, against eight real ones (root)'
	@printf '%-38s %s\n' 'make frameworks' 'whether check knows vLLM, SGLang, LMCache and kvbm in their newest wheels (root)'
	@printf '%-38s %s\n' 'make real-torch' 'the plugins beside the real torch, by kvpath and by the real loader; 6 GB of downloads (root)'
	@printf '%-38s %s\n' 'make real-frameworks' 'the real vLLM and SGLang make their agents before and after fix, and under run; 20 GB on the disk (root)'
	@printf '%-38s %s\n' 'make cli' 'only the tests of the command line'
	@printf '%-38s %s\n' 'make bench' 'how long check takes beside the usual shell preamble, why beside ldd and libtree, log beside grep, transfers beside fi_pingpong and iperf3 (root)'
	@printf '%-38s %s\n' 'make peers' 'measures kvpath beside all its peers in one run, into docs/performance.md: PARTS="check image", QUICK=1 (root)'
	@printf '%-38s %s\n' 'make kill-test' 'ends fix and undo at every system call, or every STRIDEth (root)'
	@printf '%-38s %s\n' 'make hostile' 'check, fix and undo on containers made to lead them out, the kernel watching (root)'
	@printf '%-38s %s\n' 'make crowd ROUNDS=200' 'sixty-four at once repair one container, so many times (root)'
	@printf '%-38s %s\n' 'make soak' 'a million transfers of bench between two hosts, with faults: N=transfers, TIME=seconds at most (root)'
	@printf '%-38s %s\n' 'make fuzz' 'fuzzes the parsers under ASan and UBSan: RUNS=N in all, or TIME=S for each'
	@printf '%-38s %s\n' 'make docs' 'writes docs/rules.md from the tables, the pages and the scenarios'
	@printf '%-38s %s\n' 'make screenshots' 'the pictures of the README, of real output, into docs/pictures (root)'
	@printf '%-38s %s\n' 'make lint' 'clang-format, clang-tidy, cppcheck, codespell, shellcheck (tests/lint.sh quick: what takes seconds)'
	@printf '%-38s %s\n' 'make coverage' 'lines of src/ that the unit, command line and oracle tests run; PARTS="unit cli" for less (root)'
	@printf '%-38s %s\n' 'make clean' 'removes the build directories; the cache of containers stays'

deps:
	@scripts/deps.sh

test:
	@tests/run.sh

demo:
	@scripts/demo.sh

oracle: build
ifdef N
	@tests/oracle/trees/trees.py --n $(N) --seed $(or $(SEED),1) --jobs $$(nproc) --kvpath $(BUILD)/bin/kvpath
else
	@tests/oracle/oracle.py
endif

oracle-suites: build
	@for suite in jammy noble trixie resolute; do echo "== $$suite"; tests/oracle/oracle.py --suite $$suite || exit 1; \
		KVPATH_SUITE=$$suite tests/oracle/numa.py --n 100 || exit 1; done

oracle-targets: build
	@tests/oracle/targets.py --n $(or $(N),100) --seed $(or $(SEED),1) --launchers all

oracle-recipes: build
	@tests/oracle/recipes.py --n $(or $(N),1000) --seed $(or $(SEED),1)

oracle-logs: build
	@tests/oracle/worker_logs.py --n $(or $(N),1000) --seed $(or $(SEED),1)

oracle-images: build
	@tests/oracle/images.py --n $(or $(N),20) --seed $(or $(SEED),1)

oracle-manifests: build
	@tests/oracle/manifests.py --n $(or $(N),1000) --seed $(or $(SEED),1)

oracle-releases: build
	@tests/oracle/releases.py

oracle-objects: build
	@tests/oracle/objects.py --all

frameworks: build
	@tests/oracle/frameworks.py

real-torch: build
	@KVPATH=$(BUILD)/bin/kvpath tests/oracle/real_torch.py

real-frameworks: build
	@KVPATH=$(BUILD)/bin/kvpath tests/oracle/real_frameworks.py

cli: build
	@bats tests/cli

bench: build
	@bench/check.sh
	@bench/loader
	@bench/log
	@bench/sweep
	@bench/transfer

peers: build
	@bench/peers $(if $(QUICK),--quick) $(PARTS)

kill-test: build
	@KVPATH=$(BUILD)/bin/kvpath tests/kill.sh $(STRIDE)

hostile: build
	@KVPATH=$(BUILD)/bin/kvpath tests/hostile/hostile.py

crowd: build
	@KVPATH=$(BUILD)/bin/kvpath tests/crowd.sh $(ROUNDS)

soak: build
	@KVPATH=$(BUILD)/bin/kvpath nice tests/soak.py --n $(or $(N),1000000) --seconds $(or $(TIME),7200)

fuzz:
	@tests/fuzz/run.sh

docs:
	@scripts/rules_md.py

screenshots: build
	@KVPATH=$(BUILD)/bin/kvpath scripts/screenshots.py

lint: $(BUILD)/build.ninja
	@ninja --quiet -C $(BUILD) src/manual/man1
	@BUILD=$(BUILD) tests/lint.sh

coverage:
	@tests/coverage.sh $(PARTS)

clean:
	@rm -rf build build-gcc build-clang build-asan build-fuzz build-aarch64 build-gcc-aarch64 build-dist-* build-coverage dist
