# Everything that is installed goes into .venv; a second run installs nothing unless pyproject.toml or
# constraints.txt changed.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

PRODUCT := .venv/.product-installed
TOOLS := .venv/.test-tools-installed
SOURCES := attendc tests scripts examples benchmarks

.PHONY: demo test test-fast lint format wheel-smoke clean

demo: $(PRODUCT)
	$(BIN)/attendc quantize examples/attendnext_pico.safetensors --int8 -o runs/demo --force

# A worker for each core, each with one thread; a file's tests stay together, since they share what is expensive.
# The order is that of tests/conftest.py: long files first.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

test: $(TOOLS)
	$(PYTEST)

test-fast: $(TOOLS)
	$(PYTEST) -m "not slow"

lint: $(TOOLS)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy --strict -p attendc

format: $(TOOLS)
	$(BIN)/ruff check --fix-only $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

wheel-smoke: $(TOOLS)
	scripts/wheel_smoke.sh $(BIN)/python

clean:
	rm -rf .venv build dist runs *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +

# torch first and alone: what asks for it later then finds it there, and does not fetch another build.
$(PRODUCT): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) torch==2.13.0
	$(INSTALL) -e .
	touch $@

# timm alone: it asks for torchvision, whose default build does not import beside a CPU torch. The rest is there.
$(TOOLS): $(PRODUCT)
	$(INSTALL) -e ".[test]"
	$(INSTALL) --no-deps timm
	touch $@
