# On a machine with only Python 3.11+ and make: `make demo` runs the main job, `make test` the tests,
# `make docs` builds the pages.
PYTHON ?= python3
BIN := .venv/bin
# JAX compiles each operation for each shape: compiled code that need not be fast is compiled in half the time, and what
# was compiled once, by a test before or by the tests of yesterday, is read from a file.
JAX_QUICK := XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true" \
	JAX_COMPILATION_CACHE_DIR=.venv/jax-compiled JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1

.PHONY: demo test test-jax notebooks docs clean

demo: .venv/installed
	$(BIN)/python -m pipelines.sentiment --run runs/demo --overwrite
	$(BIN)/python -m pipelines.sentiment predict --run runs/demo "There is nothing to like in this movie." "Dull at first, but the ending is wonderful."

# Two processes on two cores: a core for each, not two threads.
test: .venv/installed-test
	TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest

test-jax: .venv/installed-test
	$(BIN)/python -m pip install --quiet --editable '.[test,jax]'
	KERAS_BACKEND=jax $(JAX_QUICK) $(BIN)/python -m pytest tests/layers

# Executed copies of notebooks are written to the folder NOTEBOOKS, where `make docs` finds their outputs; the notebooks
# themselves stay as they are. Each takes under five minutes on 2 cores.
NOTEBOOKS ?= runs/notebooks
notebooks: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[notebooks,onnx]'
	$(BIN)/python -m tests.notebooks --to $(NOTEBOOKS)

# A warning is an error: MkDocs warns of broken links between the sources, its link checker (htmlproofer) of those in the
# built pages. Nothing asks the network.
docs: .venv/installed-docs
	NOTEBOOKS=$(NOTEBOOKS) NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --clean
	@echo "The pages are in site/: $(BIN)/python -m http.server --directory site 8000, then open http://localhost:8000"

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

# pip runs again when setup.cfg changes.
.venv/installed: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test,onnx]'
	touch $@ .venv/installed

.venv/installed-docs: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@ .venv/installed

clean:
	rm -rf .venv site build *.egg-info
