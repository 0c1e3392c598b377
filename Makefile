# The two commands are `make demo` and `make test`; `make help` lists the rest.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
DURATION ?= 0
SOURCES := $(wildcard native/cdef/*.h native/csrc/*.[ch] native/CMakeLists.txt)

.venv/ready: pyproject.toml constraints.txt $(SOURCES)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@# By its variable, a constraint also reaches the environment that the C extension is built in.
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: .venv/ready ## build the C extension and install everything into .venv

.PHONY: demo
demo: .venv/ready ## a simulated optical table and two nodes that make key (DURATION=60 to end by itself)
	@$(BIN)/qkd demo --duration $(DURATION)

.PHONY: test
test: .venv/ready native-test ## every fast test (under ten minutes on two cores)
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m 'not soak and not system'
	$(BIN)/python -m pytest -q -m 'system and not soak'

.PHONY: native-test
native-test: .venv/ready ## the C unit tests, under the address and undefined-behaviour sanitizers
	@cmake -S native -B build/c -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all" >/dev/null
	@cmake --build build/c --parallel 2 >/dev/null
	@ctest --test-dir build/c --output-on-failure --no-tests=error | tail -n 4

.PHONY: soak
soak: .venv/ready ## the long runs: 10^7-bit blocks, the full fault matrix
	$(BIN)/python -m pytest -q -m soak --timeout 3600

.PHONY: bench
bench: .venv/ready ## the native kernels against their peers, one table
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@$(BIN)/python -m benchmarks

.PHONY: lint
lint: .venv/ready ## style, types and the floors between the rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: .venv/ready ## rewrite the sources in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: clean
clean: ## remove what was built and what the demo made
	rm -rf .venv build run .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
