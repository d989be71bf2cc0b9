# The few commands of this repository. `make` alone lists them.
# Needs: make, git and Python 3.11 or newer with venv. Everything else goes into .venv, with pip.

HOST ?= 127.0.0.1
PORT ?= 8012
ARGS ?=

# The first of these that runs and is new enough makes .venv; PYTHON=/path/to/python on the make line overrides.
PYTHON ?= python3 python3.13 python3.12 python3.11 python3.14

# torch goes in first, by itself: what TORCH= says now, else what it said last (.venv/torch.spec), else the pin of
# constraints.txt. The rest is then installed against .venv/constraints.txt, which holds our other pins and the
# torch that is really there: so an override never conflicts with the pin, and no dependency can replace torch by
# another build. Pip options may stand in TORCH too, for example an index that has CPU-only builds.
given_torch := $(strip $(TORCH))
TORCH ?= $(shell cat .venv/torch.spec 2>/dev/null || grep '^torch==' constraints.txt)

venv_python := .venv/bin/python
pip := $(venv_python) -m pip --disable-pip-version-check --no-input
inputs := $(venv_python) pyproject.toml constraints.txt
ifneq ($(given_torch),)
ifneq ($(given_torch),$(shell cat .venv/torch.spec 2>/dev/null))
inputs += always
endif
endif

# An environment that has the dev extra is kept whole: it has all that serving needs.
serve_stamp := $(if $(wildcard .venv/dev.stamp),.venv/dev.stamp,.venv/serve.stamp)

CHROMIUM ?= $(firstword $(shell for name in chromium chromium-browser google-chrome; do command -v $$name; done; true))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test e2e check format bench clean always

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

serve: $(serve_stamp) ## start the server and the playground (HOST= PORT=); installs what it needs first
	@exec .venv/bin/paceline serve --host $(HOST) --port $(PORT)

test: .venv/dev.stamp ## run the tests that need no browser and no GPU (ARGS="-k engine" selects)
	@$(call pytest,-m "not e2e and not gpu")

e2e: .venv/dev.stamp ## run the end-to-end tests: real processes and a real browser
	@test -n "$(CHROMIUM)" || { \
	  echo "make e2e: no Chromium found; install it (Debian: apt-get install chromium) or give CHROMIUM=/path." >&2; \
	  exit 1; }
	@CHROMIUM="$(CHROMIUM)" $(call pytest,-m e2e tests/e2e)

check: .venv/dev.stamp ## format, lint, types, imports, sizes, docs
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/pyright
	.venv/bin/lint-imports
	$(venv_python) tools/check_sizes.py
	$(venv_python) tools/check_docs.py

format: .venv/dev.stamp ## rewrite the code as `check` wants it
	.venv/bin/ruff check --fix-only
	.venv/bin/ruff format

bench: .venv/dev.stamp ## run every benchmarks/*.py, keystrokes.py in its quick form
	@set -e; found=; for file in benchmarks/*.py; do \
	  if [ -f "$$file" ]; then found=yes; echo "== $$file"; \
	    quick=; [ "$$file" != benchmarks/keystrokes.py ] || quick=--quick; $(venv_python) "$$file" $$quick; fi; \
	done; [ -n "$$found" ] || echo "There are no benchmarks yet (benchmarks/*.py)."

clean: ## remove caches and build output (rm -rf .venv removes the environment too)
	rm -rf build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment -------------------------------------------------------------------------------------

.venv/serve.stamp: $(inputs)
	$(call install,serve)

.venv/dev.stamp: $(inputs)
	$(call install,dev)

# Missing also if the Python that it links to was removed; then all of .venv is made anew.
$(venv_python):
	@chosen=; for python in $(PYTHON); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then chosen=$$python; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo "make: Paceline needs Python 3.11 or newer; none of these is: $(PYTHON)." >&2; \
	  echo "make: Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	if ! "$$chosen" -c 'import venv, ensurepip' 2>/dev/null; then \
	  version=$$("$$chosen" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "make: $$chosen cannot make virtual environments; on Debian or Ubuntu:" >&2; \
	  echo "make:   apt-get install python$$version-venv" >&2; exit 1; \
	fi; \
	echo "Making .venv with $$("$$chosen" --version)"; \
	"$$chosen" -m venv --clear .venv || { rm -rf .venv; exit 1; }

# $(call install,EXTRA): the stamp is written last, so a failed or interrupted install leaves none.
define install
	@echo "Installing Paceline's '$(1)' extra into .venv (the first time this takes minutes)"
	@rm -f $@
	@$(pip) --version >/dev/null 2>&1 || $(venv_python) -m ensurepip
	@grep -v '^torch[^a-z]' constraints.txt > .venv/constraints.txt; true
	$(pip) install -c .venv/constraints.txt $(foreach word,$(TORCH),'$(word)')
	@$(venv_python) -c 'from importlib.metadata import version; print("torch==" + version("torch"))' \
	  >> .venv/constraints.txt
	$(pip) install -c .venv/constraints.txt -e '.[$(1)]'
	$(if $(given_torch),@echo '$(given_torch)' > .venv/torch.spec)
	@touch $@
endef

# $(call pytest,OPTIONS): a selection without a single test is a mistake, never a success.
define pytest
.venv/bin/pytest $(1) $(ARGS) || { code=$$?; \
	  if [ $$code -eq 5 ]; then echo "make $@: no test was selected, so nothing was checked." >&2; fi; exit $$code; }
endef
