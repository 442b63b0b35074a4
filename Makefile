# make demo and make test need nothing but Python 3.11 and make; each sets up what is missing and no more.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
RUNTIME := .venv/.runtime
DEVELOPMENT := .venv/.development
PEERS := .venv/.peers
SPACE := .venv/.space
BENCHES := bench-matching bench-knowledge bench-corpora bench-pretraining bench-finetuning bench-inference bench-space

.PHONY: demo small ablation space test lint shipped-code clean help $(BENCHES)

help:  ## this list
	@grep -hE '^[a-z$$()A-Z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/; s/.*BENCHES\)/bench-NAME/' | expand -t 12
	@echo "NAME of a benchmark: $(BENCHES:bench-%=%)"

demo: $(RUNTIME)  ## knowledge base to zero-shot NER on the embedded sample, under five minutes
	$(BIN)/python train.py experiment recipes/demo.yaml

small: $(RUNTIME)  ## the same on the real data in the folder KBIOXLM_REAL_DATA, under ninety minutes
	$(BIN)/python train.py experiment recipes/small.yaml

ablation: $(RUNTIME)  ## Table 7 of the paper at a size for two cores, on the data in KBIOXLM_REAL_DATA, about two hours
	$(BIN)/python train.py experiment recipes/ablation.yaml

space: $(SPACE)  ## installs the Space, starts it on http://127.0.0.1:7860 with the models that it ships
	$(BIN)/python spaces/app.py

test: $(DEVELOPMENT)  ## all tests, under ten minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

$(BENCHES): bench-%: $(PEERS)  ## ours beside its peers, on the real data in KBIOXLM_REAL_DATA; writes runs/bench
	$(BIN)/python bench/$*.py

bench-space: $(SPACE)

lint: $(DEVELOPMENT)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --config-file pyproject.toml

shipped-code:  ## copy the code of the checkout to the models that the repository ships
	for folder in kbioxlm-small spaces/models/*/; do cp *_kbioxlm.py $$folder; done

clean:  ## remove the virtual environment and all runs
	rm -rf .venv runs

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DEVELOPMENT): requirements-dev.txt $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@mkdir -p .venv/.types && ln -sfn ../.. .venv/.types/kbioxlm
	@touch $@

$(PEERS): requirements-bench.txt $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@

$(SPACE): spaces/requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r spaces/requirements.txt
	@touch $@
