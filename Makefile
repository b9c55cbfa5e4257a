# make install | test | study-check | soak | coverage | demo | benchmark | docs | clean; PYTHON=... chooses the interpreter that .venv is made with.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install test study-check soak coverage demo benchmark docs clean
.DELETE_ON_ERROR:

install: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python found: install Python 3.11 or newer, or say make PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1); mixcl_auto needs Python 3.11 or newer."; \
		echo "Say make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test,fast]"
	@touch $@

test: $(STAMP)
	$(BIN)/ruff format --check mixcl_auto tests benchmarks
	$(BIN)/ruff check mixcl_auto tests benchmarks
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

coverage: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --cov=mixcl_auto \
		--cov-report=term:skip-covered --cov-report=xml

# MINUTES of random kills over the whole pipeline, then every point where a run touches the disk, then the fuzzers.
soak: MINUTES ?= 60
soak: $(STAMP)
	$(BIN)/python tests/soak.py --minutes $(MINUTES)
	KILL_POINTS=all OMP_NUM_THREADS=1 $(BIN)/python -m pytest --timeout 3600 tests/faults/test_kill_points.py
	HYPOTHESIS_PROFILE=soak OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --timeout 3600 tests/untrusted

# What a pre-training on a small real pool must have learnt; RAW_DATA is a folder of datasets, STUDY takes further options.
study-check: RAW_DATA ?= ../shared/data/raw_data
study-check: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/study_check.py --raw-data "$(RAW_DATA)" $(STUDY)

demo: $(STAMP)
	$(BIN)/mixcl_auto demo

benchmark: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[benchmarks]"
	$(BIN)/python -m benchmarks

docs: $(STAMP)
	$(BIN)/python -m mixcl_auto.cli.reference docs

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage coverage.xml
