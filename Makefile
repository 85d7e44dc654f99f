# What the README and continuous integration call. Needs python3 (3.11 to 3.13) and make, nothing else.
#   make water   the environment, then a potential for liquid water, tested and run: all in runs/water
#   make test    the environment, then the tests
#   make test-wide   tests of variants and corners, which make test leaves out
#   make test-slow   whole runs, several hosts, kills: a quarter of an hour
#   make test-newest   a fast part of the tests on the newest Python that is supported and here
#   make reference   compares with other programs; makes an environment for each, of gigabytes
.PHONY: water test test-wide test-slow test-newest lint reference reference-mace reference-nequip reference-foundation docs bench
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
RUN := runs/water
# Files go to whoever is free, in the order of their folders: those of many tests are not those that
# take long.
SPREAD := --dist loadfile --no-loadscope-reorder
TORCH_TESTS := tests/convert tests/potential
TORCH ?= torch==2.13.0
NEQUIX_NEEDS := equinox cloudpickle h5py matscipy tqdm ase-db-backends wandb-osh

water: .venv/.water
	$(BIN)/equipot-train +experiment=water
	$(BIN)/equipot info $(RUN)/water.equipot
	$(BIN)/equipot evaluate $(RUN)/water.equipot equipot://data/water/test.extxyz.xz \
	  --group-key temperature --output $(RUN)/predictions.extxyz --json $(RUN)/test.json --quiet
	$(BIN)/equipot md $(RUN)/water.equipot equipot://data/water/test.extxyz.xz \
	  --frame temperature=300 --ensemble nvt --temperature 300 --time 1 --timestep 0.5 \
	  --output $(RUN)/md --plot --overwrite

test: .venv/.test
	$(BIN)/python -m pytest -q -n 2 $(SPREAD)

test-wide: .venv/.test
	$(BIN)/python -m pytest -q -n 2 $(SPREAD) -m "wide and not slow and not gpu and not reference and not physics"

# What defaults change and the others do not see; those of models and layers take longer still.
test-slow: .venv/.test
	$(BIN)/python -m pytest -q -n 2 $(SPREAD) -m "slow and not gpu and not reference" \
	  tests/integration tests/training tests/cli tests/scripts

# Readers, calculators, training and commands, and little that is slow to compile.
NEWEST_TESTS := tests/test_package.py tests/test_warnings.py tests/test_config.py tests/data \
  tests/calculators tests/cli/test_main.py tests/cli/test_overrides.py tests/cli/test_console.py \
  tests/training/test_checkpoints.py tests/training/test_folder.py tests/training/test_run_log.py \
  tests/training/test_plots.py tests/training/test_preparation.py tests/training/test_reports.py

test-newest:
	@newest=$$(scripts/newest_python.sh $(PYTHON)); \
	if [ -z "$$newest" ]; then \
	  echo "test-newest: skipped, there is no Python of 3.12 to 3.13 newer than $(PYTHON) here"; \
	else \
	  echo "test-newest: $$newest" && $(MAKE) --no-print-directory .venv-newest/.test PYTHON="$$newest" \
	  && .venv-newest/bin/python -m pytest -q -n 2 $(SPREAD) --disable-warnings $(NEWEST_TESTS); \
	fi

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

reference: .venv/.reference reference-mace reference-nequip reference-foundation
	$(BIN)/python -m pytest -q -m reference

# mace-torch and nequip need different versions of e3nn.
reference-mace: .venv-mace/.made
	TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 .venv-mace/bin/python -m pytest -q -m reference $(TORCH_TESTS)

reference-nequip: .venv-nequip/.made
	.venv-nequip/bin/python -m pytest -q -m reference $(TORCH_TESTS)

# Published potentials beside the programs that wrote them; those of Nequix are looked for in
# EQUIPOT_FOUNDATION, those of SevenNet in its package.
reference-foundation: .venv-foundation/.made
	.venv-foundation/bin/python -m pytest -q -m reference tests/convert/foundation

docs: .venv/.docs
	$(BIN)/mkdocs build --strict

bench: .venv/.test
	$(BIN)/python -m scripts.benchmark models

# One stamp for each set of extras; an environment is made once and completed by the others.
.venv/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	  "equipot needs Python 3.11 to 3.13, %d.%d is here: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.water: pyproject.toml | .venv/.made
	$(PIP) -e .
	@touch $@

.venv/.test: pyproject.toml | .venv/.made
	$(PIP) -e ".[test]"
	@touch $@ .venv/.water

.venv-newest/.test: pyproject.toml
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -e ".[test]"
	@touch $@

.venv/.reference: pyproject.toml | .venv/.made
	$(PIP) -e ".[test,reference]"
	@touch $@ .venv/.test .venv/.water

.venv-mace/.made: PROGRAMS := mace-torch==0.3.16
.venv-nequip/.made: PROGRAMS := nequip==0.19.1 nequip-allegro==0.8.3
.venv-mace/.made .venv-nequip/.made: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
	  -e ".[test,convert]" $(TORCH) $(PROGRAMS)
	@touch $@

# What nequix says it needs would bring a jax that computes wrong numbers.
.venv-foundation/.made: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
	  -e ".[test,reference]" $(TORCH) sevenn==0.13.0 $(NEQUIX_NEEDS)
	$(@D)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps nequix==0.4.5
	@touch $@

.venv/.docs: pyproject.toml | .venv/.made
	$(PIP) -e ".[docs]"
	@touch $@ .venv/.water
