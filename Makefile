# Sluice. `make run` starts it, `make test` proves it; both install what is missing first and say so.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := target/release/sluice
DATA ?= data

help: ## Show what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: deps web ## Build and start the gateway; ends with the addresses and the stream key
	cargo build --release --locked -p gateway
	@exec $(BIN) serve --data-dir $(DATA)

demo: ## Publish a test picture to the running gateway
	@exec $(BIN) demo --data-dir $(DATA)

test: deps-test web ## Everything: format, lints, unit, property and end-to-end tests
	scripts/test

check: ## The quick part: format, lints, unit tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --exclude e2e --locked

web: web/dist/index.html ## Build the web page
web/dist/index.html: $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -print 2>/dev/null)
	cd web && npm ci --no-audit --no-fund && npm run build
	@touch $@

deps: ## Install what building needs
	scripts/install-deps build

deps-test: ## Install what testing needs
	scripts/install-deps test

conformance: deps-test ## Every client over every transport, as a table (target/conformance.md)
	cargo build --release --locked -p gateway
	SLUICE_BIN=$(CURDIR)/$(BIN) cargo run --locked -p e2e --bin e2e-conformance -- $(CONFORMANCE)
	SLUICE_BIN=$(CURDIR)/$(BIN) cargo run --locked -p e2e --bin e2e-conformance -- --rtmpe 300

bench: ## Ladder and ingest beside their peers
	benches/ladder.sh
	benches/ingest.sh

clean: ## Remove what was built
	cargo clean
	rm -rf web/dist web/node_modules

.PHONY: help run demo test check web deps deps-test conformance bench clean
