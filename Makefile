# What a person runs: `make demo` and `make test`. Every lane of the gate is a target of its own, for one's own loop;
# `make test` runs all of them. V=1 shows the output of lanes that pass.

PREFIX ?= /usr/local
DATA ?=
CARGO ?= cargo
VENV := build/.venv/bin
LANE := scripts/lane
export CARGO_TARGET_DIR ?= $(CURDIR)/target

# In the order in which they run: the cheap ones first.
LANES := format tidy deny lints unit headers behaviour-rust simulation crash behaviour-c \
	build process behaviour-python python behaviour-node node packages docs

# Packages whose tests have a lane of their own. Other lanes name the whole workspace, so that all share one build.
OWN_LANE := ringkeep-tidy ringkeep-simulation ringkeep-crash ringkeep-process ringkeep-ffi

.DEFAULT_GOAL := help
.PHONY: help setup test lint fmt clean install demo bench soak python-package node-package prefix write-headers $(LANES)

help:
	@echo 'make test             everything that must pass (what .ci/run runs)'
	@echo 'make demo [DATA=dir]  three processes in three languages store real files and lose one of them'
	@echo 'make install PREFIX=  the C library, its headers, pkg-config and CMake files'
	@echo 'make bench soak       figures beside their peers; the long versions of the tests'
	@echo 'make lint fmt clean   static checks; format the sources; remove what was built'
	@echo 'make LANE             one lane of: $(LANES)'

setup:
	@scripts/setup

# BUILT: the lane `build` makes the release artefacts once, and the lanes after it use them.
test: setup
	@BUILT=1 scripts/gate $(LANES)

lint: setup
	@scripts/gate format tidy deny lints

fmt:
	@$(CARGO) fmt --all

clean:
	@$(CARGO) clean
	@rm -rf build dist node/*.node node/node_modules

install:
	@scripts/install-c $(PREFIX)

demo: setup
	@scripts/demo $(DATA)

# Figures beside their peers, each in one run; BENCH=quick shortens.
bench: setup
	@scripts/bench

soak: setup
	@RINGKEEP_KILLS=200 LANE_SECONDS_MAX=7200 $(LANE) crash $(CARGO) test --quiet --workspace --test kill
	@RINGKEEP_ROUNDS=20 RINGKEEP_MEASURE=1 LANE_SECONDS_MAX=7200 $(LANE) process $(CARGO) test --quiet --workspace --test process
	@grep 'known to all\|SKIPPED' build/lanes/process.log
	@RINGKEEP_SEEDS=10000 LANE_SECONDS_MAX=7200 $(LANE) simulation $(CARGO) test --quiet --workspace --test seeds

format:
	@$(LANE) $@ $(CARGO) fmt --all --check

tidy:
	@$(LANE) $@ $(CARGO) test --quiet -p ringkeep-tidy

deny: setup
	@$(LANE) $@ scripts/cargo-deny --all-features check --hide-inclusion-graph licenses bans sources

lints:
	@$(LANE) $@ $(CARGO) clippy --quiet --workspace --all-targets --all-features -- -D warnings

unit:
	@$(LANE) $@ $(CARGO) test --quiet --workspace $(OWN_LANE:%=--exclude %)

# The committed header is what the sources give; `make write-headers` writes it anew.
headers:
	@$(LANE) $@ $(CARGO) test --quiet --workspace --test header

write-headers:
	@RINGKEEP_WRITE_HEADERS=1 $(CARGO) test --quiet --workspace --test header

# The node as it is shipped; then the bug bank, a build of its own, with the tests of the checkers.
simulation: BUG_BANK = $(CARGO) test --quiet -p ringkeep-simulation --features planted --lib --test planted
simulation:
	@$(LANE) $@ sh -c '$(CARGO) test --quiet --workspace --test seeds --test scenarios --test levels --test clones && $(BUG_BANK)'

crash:
	@$(LANE) $@ $(CARGO) test --quiet --workspace --test kill

behaviour-rust:
	@$(LANE) $@ $(CARGO) run --quiet -p ringkeep-behaviour

behaviour-c:
	@$(LANE) $@ scripts/test-c

# The Python package in build/.venv, with the release build that `packages` and the demonstration use too.
python-package: setup
	@PATH="$(CURDIR)/$(VENV):$$PATH" $(VENV)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall ./python

build: setup
	@$(LANE) $@ $(MAKE) --no-print-directory BUILT= python-package node-package prefix

# Members in the languages that have been built, on machines of their own: it takes root, ip and nft, and says so.
process:
	@$(LANE) $@ $(CARGO) test --quiet --workspace --test process

behaviour-python: $(if $(BUILT),,python-package)
	@$(LANE) $@ $(VENV)/python -m pytest -q python/tests/test_behaviour.py

python: $(if $(BUILT),,python-package)
	@$(LANE) $@ $(VENV)/python -m pytest -q python/tests --ignore=python/tests/test_behaviour.py

node-package: setup
	@node node/build.js
	@npm ci --prefix node --no-audit --no-fund --silent

behaviour-node: $(if $(BUILT),,node-package)
	@$(LANE) $@ node --test node/test/behaviour.test.js

node: $(if $(BUILT),,node-package)
	@$(LANE) $@ node --test $(filter-out %/behaviour.test.js,$(wildcard node/test/*.test.js))

# Each package installed as a stranger would, in a directory of its own.
packages: $(if $(BUILT),,node-package)
	@$(LANE) $@ scripts/packages

prefix:
	@scripts/install-c build/prefix

# What documents show is run; what the crates document has no warnings.
docs: export RUSTDOCFLAGS = -D warnings
docs: $(if $(BUILT),,python-package node-package prefix)
	@$(LANE) $@ sh -c '$(CARGO) doc --quiet --workspace --no-deps --document-private-items && scripts/samples README.md'
