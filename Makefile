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
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

# The three below need packages that nothing else does; each says which.
.PHONY: valgrind-test
valgrind-test: ## the C unit tests under valgrind: memory, and no branch on a secret
	@command -v valgrind >/dev/null || { echo "make $@ needs valgrind (package valgrind)"; exit 1; }
	@cmake -S native -B build/valgrind -DQKD_VALGRIND=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null
	@cmake --build build/valgrind --parallel 2 >/dev/null
	@ctest --test-dir build/valgrind --parallel 2 --output-on-failure --no-tests=error | tail -n 4

.PHONY: aarch64-test
aarch64-test: ## the C unit tests, cross-compiled for aarch64, in an emulator
	@command -v aarch64-linux-gnu-gcc qemu-aarch64 >/dev/null || \
		{ echo "make $@ needs packages gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user"; exit 1; }
	@cmake -S native -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=aarch64.cmake >/dev/null
	@cmake --build build/aarch64 --parallel 2 >/dev/null
	@ctest --test-dir build/aarch64 --parallel 2 --output-on-failure --no-tests=error | tail -n 4

FUZZ_SECONDS ?= 20
FUZZERS := $(basename $(notdir $(wildcard native/fuzz/*.c)))

.PHONY: fuzz
fuzz: ## fuzz what takes bytes from a wire or a file (FUZZ_SECONDS=20 a target)
	@command -v clang >/dev/null || { echo "make $@ needs packages clang, libclang-rt-dev"; exit 1; }
	@cmake -S native -B build/fuzz -DQKD_FUZZ=ON -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug \
		-DCMAKE_C_FLAGS="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" >/dev/null
	@cmake --build build/fuzz --parallel 2 --target $(FUZZERS) >/dev/null
	@for target in $(FUZZERS); do \
		mkdir -p build/fuzz/$$target.corpus; echo $$target; \
		build/fuzz/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 \
			-artifact_prefix=build/fuzz/$$target- build/fuzz/$$target.corpus \
			>build/fuzz/$$target.log 2>&1 || { tail -n 30 build/fuzz/$$target.log; exit 1; }; \
		grep number_of_executed_units build/fuzz/$$target.log; done

.PHONY: wheel
wheel: .venv/ready ## dist/: one wheel for this kind of machine and any Python from 3.11 on
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist

.PHONY: soak
soak: .venv/ready ## the long runs: 10^7-bit blocks, the full fault matrix, the wheel, faults at random (QKD_SOAK_S=1800)
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
	rm -rf .venv build dist run .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
