# A thin front: each target is one command that also works without make.
.PHONY: help up test lint bench gpu-check

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## build, then run an aggregator and an agent on this machine until Ctrl-C
	@.ci/deps build
	cargo build --release --locked --bin sextant-agent --bin sextant-aggregator
	@manifests/local/up

test: ## install what tests need, then formatting, lints, all tests and the manifests
	.ci/check

lint: ## formatting and lints
	.ci/check format lint docs

bench: ## measure a fleet and the agent's overhead; ARGS="..." chooses what and how
	@.ci/deps
	cargo build --release --locked
ifeq ($(ARGS),)
	target/release/sextant-bench fleet
	target/release/sextant-bench overhead
else
	target/release/sextant-bench $(ARGS)
endif

gpu-check: ## compare with nvidia-smi and nvidia-ml-py on a machine with an NVIDIA GPU
	bench/gpu-check/run
