# The two commands of the README are `make book` and `make test`; `make help` lists the rest.
PROFILE ?= smoke
ONLY ?=
PYTHON ?= python3
PORT ?= 8000
SEED ?= $(shell date +%s)
# A word from the command line stays one word for the shell, whatever stands in it.
quoted = '$(subst ','\'',$(1))'
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Python from 3.11 to 3.13: the versions for which requirements.lock is made.
CHECK_PYTHON := import sys; v = sys.version_info[:2]; \
  sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12")

# Without byte code every kernel compiles torch anew, which doubles the time of a chapter.
unexport PYTHONDONTWRITEBYTECODE
export KMGAN_DATA
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
# The GNU C library keeps freed memory for the next iteration instead of giving it back and clearing it again.
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := -1

.PHONY: help setup book test test-long fuzz lint serve pdf address readme lock clean
.DEFAULT_GOAL := help

help:
	@echo "make book [PROFILE=smoke|quick|paper] [ONLY=chapter]  execute the chapters, render _build/html/index.html"
	@echo "make test     style, types, notebooks without outputs, tests"
	@echo "make lint     the first three of these"
	@echo "make test-long  the tests that take long and rarely fail"
	@echo "make fuzz [SEED=n]  two hundred kills, and made-up input in large numbers: twenty minutes; SEED repeats the latter"
	@echo "make serve [PORT=8000]  show the book at http://localhost:8000"
	@echo "make pdf [PROFILE=smoke|quick|paper]  print the book that was built as one PDF; needs Chromium"
	@echo "make address [URL=https://github.com/owner/name]  where the book is published: Binder, Colab, citation"
	@echo "make readme   the ledger of claims in README.md, from the records"
	@echo "make setup [PYTHON=python3]  make .venv with the versions of requirements.lock (the others do it when needed)"
	@echo "make lock     write requirements.lock anew from pyproject.toml"
	@echo "make clean    remove what was built; .venv and runs stay"
	@echo "KMGAN_DATA=folder  where the data sets are"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml book/pyproject.toml
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# uv installs in one minute what takes pip several; without it pip does the same work.
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv || echo "no uv, going on with pip"
	@if test -x $(BIN)/uv; then \
	  $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -r requirements.lock && \
	  $(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation -e . -e ./book; \
	else \
	  $(BIN)/python -m pip install -r requirements.lock && \
	  $(BIN)/python -m pip install --no-deps --no-build-isolation -e . -e ./book; \
	fi
	@touch $@

book: setup
	@$(BIN)/python -m book.tools --profile $(call quoted,$(PROFILE)) --only $(call quoted,$(ONLY))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/nbstripout --verify --keep-id book/*.ipynb

# Two workers with one thread each: torch's own threads would fight over the same cores. A file stays on one worker,
# so that what its tests share is made once.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The tests run even where lint fails, so that a matter of style hides no broken test.
test: setup
	@lint=0; $(MAKE) --no-print-directory lint || lint=$$?; \
	$(PYTEST) && exit $$lint

test-long: setup
	$(PYTEST) -m long

# KMGAN_FUZZ is the number of made-up cases that it takes at the least.
fuzz: setup
	$(PYTEST) -m fuzz
	KMGAN_FUZZ=10000 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz --hypothesis-seed=$(call quoted,$(SEED))

serve: setup
	@test -f _build/html/index.html || { echo "no book yet: make book"; exit 1; }
	$(BIN)/python -m http.server $(call quoted,$(PORT)) --bind 127.0.0.1 --directory _build/html

pdf: setup
	@$(BIN)/python -m book.tools pdf --profile $(call quoted,$(PROFILE))

address: setup
	@$(BIN)/python -m book.tools address $(if $(URL),--url $(call quoted,$(URL)))

readme: setup
	@$(BIN)/python -m book.tools readme

lock: setup
	$(BIN)/uv pip compile pyproject.toml --extra book --extra dev --universal --upgrade --quiet \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate -o requirements.lock

clean:
	rm -rf build _build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
