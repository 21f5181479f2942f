# What a person runs: `make demo` and `make test`. Every lane of the gate is a target of its own, for one's own loop;
# `make test` runs all of them. V=1 shows the output of lanes that pass.

PREFIX ?= /usr/local
CARGO ?= cargo
VENV := build/.venv/bin
LANE := scripts/lane

# In the order in which they run: the cheap ones first.
LANES := format tidy deny lints unit docs

.DEFAULT_GOAL := help
.PHONY: help setup test lint fmt clean bench $(LANES)

help:
	@echo 'make test            everything that must pass (what .ci/run runs)'
	@echo 'make LANE            one lane: $(LANES)'
	@echo 'make lint fmt clean  static checks; format the sources; remove what was built'
	@echo 'make bench           figures beside their peers; BENCH=quick for a short run'

setup:
	@scripts/setup

test: setup
	@scripts/gate $(LANES)

lint: setup
	@scripts/gate format tidy deny lints

fmt:
	@$(CARGO) fmt --all

bench:
	@scripts/bench

clean:
	@$(CARGO) clean
	@rm -rf build dist

format:
	@$(LANE) $@ $(CARGO) fmt --all --check

tidy:
	@$(LANE) $@ $(CARGO) test --quiet -p ringkeep-tidy

deny: setup
	@$(LANE) $@ scripts/cargo-deny --all-features check --hide-inclusion-graph licenses bans sources

lints:
	@$(LANE) $@ $(CARGO) clippy --quiet --workspace --all-targets --all-features -- -D warnings

unit:
	@$(LANE) $@ $(CARGO) test --quiet --workspace --exclude ringkeep-tidy

docs: export RUSTDOCFLAGS = -D warnings
docs:
	@$(LANE) $@ $(CARGO) doc --quiet --workspace --no-deps --document-private-items
