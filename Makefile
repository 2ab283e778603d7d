# What a person or the CI does with this project. Each target says what it could not do here.

.PHONY: help build demo test lint lab bench bench-engine bench-lab

help:
	@echo "make build   the release binary, target/release/flowreeve"
	@echo "make demo    the product at work (ONCE=1: without waiting)"
	@echo "make lint    format, clippy, shell scripts, licences and advisories"
	@echo "make test    lint, and all tests this machine can run"
	@echo "make lab     only the tests that need root and network namespaces"
	@echo "make bench   both of these, beside their marks:"
	@echo "make bench-engine  nanoseconds and allocations a packet, by stage"
	@echo "make bench-lab  inline, against plain forwarding (root, minutes; ROUNDS=n, SEED=n, ONLY=workload,...)"

build:
	cargo build --release --locked

demo:
	@ONCE=$(ONCE) demo/run.sh

lint:
	@tests/run.sh lint

test:
	@tests/run.sh lint cargo lab demo

lab:
	@tests/run.sh lab

bench: bench-engine bench-lab

bench-engine:
	cargo bench --locked --bench engine

bench-lab:
	cargo build --release --locked --bin flowreeve --example bare_loop --example blast
	@timeout -k 30 3600 benches/lab.py
