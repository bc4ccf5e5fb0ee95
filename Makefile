# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
#
#   make install              make .venv with everything in it, ROS 2 included
#   make demo [BAG=recording] play a recording (or a rendered one) through the depth node
#   make test [ARGS=...]      run the tests; ARGS go to pytest (WORKERS=N: in so many processes)
#   make test-robot           the tests as on a robot with a CPU, in an environment without torch
#   make coverage             the same with the share of lines that run; fails below pyproject's floor
#   make lint                 ruff, mypy and the other static checks
#   make docs                 build the documentation into docs/_build/html, warnings are errors
#   make clean                remove what was built, .venv included
#
# Another Python (3.10 to 3.14): make install PYTHON3=python3.12

PYTHON3 ?= python3
VENV := .venv
ROBOT_VENV := .venv-robot
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
BAG ?=
ARGS ?=

# Processes that test: one more than cores, since many tests wait for other processes.
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
PYTEST := -m pytest -n $(WORKERS) --dist worksteal

# Threads of torch that wait for each other take no processor time from the other tests.
test test-robot coverage: export OMP_WAIT_POLICY := passive

# The environment is complete without the ROS 2 that the calling shell may have sourced: two of them
# in one process do not mix.
unexport PYTHONPATH
ifneq ($(AMENT_PREFIX_PATH)$(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
unexport AMENT_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
endif

# Sound: the interpreter runs, has pip, and was set up in this very folder (a moved one is not).
# Whole: what was installed is still there.
SOUND := grep -qsF "$(CURDIR)/$(VENV)" $(VENV)/bin/activate && $(PYTHON) -I -c 'import pip' 2>/dev/null
WHOLE := $(PYTHON) -I -c 'import importlib.util as i, sys; \
	sys.exit(not all(map(i.find_spec, ("cv2", "monodepth2_ros", "mypy", "pytest", "ruff", "torch"))))'

.PHONY: install demo test test-robot coverage lint docs clean again

install: $(STAMP)

# Interrupted half-way, no longer sound, or not whole: made again. Otherwise brought up to date.
$(STAMP): setup.py setup.cfg pyproject.toml $(shell $(SOUND) && $(WHOLE) || echo again)
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "make: Python 3.10 or newer is needed: give one with PYTHON3=python3.12" >&2; exit 1; }
	@if test -e $(VENV)/.installing || ! { $(SOUND); } || { test -e $@ && ! $(WHOLE); }; then \
		echo "$(PYTHON3) -m venv --clear $(VENV)"; $(PYTHON3) -m venv --clear $(VENV); fi
	@rm -f $@; touch $(VENV)/.installing
	$(PYTHON) -m pip install -e '.[ros,openvino,cuda,train,test]'
	@mv $(VENV)/.installing $@

demo: $(STAMP)
	$(PYTHON) -m monodepth2_ros.demo $(if $(BAG),"$(BAG)") $(ARGS)

test: $(STAMP)
	$(PYTHON) $(PYTEST) --durations 10 $(ARGS)

# Tests that need torch skip, with the reason.
test-robot:
	$(PYTHON3) -m venv $(ROBOT_VENV)
	$(ROBOT_VENV)/bin/python -m pip install -e '.[ros,openvino]' pytest pytest-xdist
	$(ROBOT_VENV)/bin/python $(PYTEST) $(ARGS)

# Apart from `make test`, which it makes slower. Programs that the tests start are measured, too.
# The quick part of the suite alone (-m "not slow") reaches 85 %; the whole runs all of that, too.
COVERAGE_FLOOR := 80

coverage: $(STAMP)
	$(PYTHON) $(PYTEST) --durations 10 --cov --cov-report= $(ARGS)
	$(PYTHON) -m coverage report --skip-covered --sort=cover --fail-under=$(COVERAGE_FLOOR)

lint: $(STAMP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) -m codespell_lib

docs: $(STAMP)
	$(PYTHON) -m pip install -q -e '.[docs]'
	$(PYTHON) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) $(ROBOT_VENV) docs/_build build install log dist demo_output *.egg-info \
		.coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache
	find monodepth2_ros training test launch benchmark -name __pycache__ -prune \
		-exec rm -rf {} + 2>/dev/null || true
