# What a person or the CI does with this project. Each target says what it could not do here.

.PHONY: help build demo test lint lab bench

help:
	@echo "make build   the release binary, target/release/flowreeve"
	@echo "make demo    the product at work (ONCE=1: without waiting)"
	@echo "make lint    format, clippy, shell scripts, licences and advisories"
	@echo "make test    lint, and all tests this machine can run"
	@echo "make bench   nanoseconds and allocations a packet, by stage, beside their marks"
	@echo "make lab     only the tests that need root and network namespaces"

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

bench:
	cargo bench --locked --bench engine
