# `make` lists the targets. DATA_ROOT= says where the data is, ARGS= goes to the command: make sample ARGS="--n 4 --seed 7"
.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python
ROOT = $(if $(DATA_ROOT),--data-root $(DATA_ROOT))

.venv/ready: setup.cfg constraints.txt
	@echo "setting up .venv (torch and friends: a minute or two, some GB) ..."
	@$(PYTHON) -m venv .venv || { echo "python's venv is missing: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev,fetch]"
	@touch $@

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*##/ {printf "%-18s %s\n", $$1, $$2}' Makefile

setup: .venv/ready  ## make .venv and install everything
	@echo "ready: .venv; python is $(PY)"

# ddim smooths a little: drawn exactly, a model of four minutes shows all the grain that it has not learned to remove
demo: .venv/ready  ## train on toy faces for four minutes and show what comes out
	@rm -rf runs/demo out/demo
	$(PY) -m ddpm_faces.train --data toy --out runs/demo --batch-size 32 --lr 2e-3 --epochs 2 --warmup 60 --guidance 2.5 --max-minutes 6 --save-every 1000
	$(PY) -m ddpm_faces.sample --model runs/demo --set "Wearing_Hat" --n 8 --sampler ddim --steps 20 --out out/demo/toy-samples.png
	$(PY) -m ddpm_faces.interpolate --model runs/demo --attr Blond_Hair --sampler ddim --steps 20 --out out/demo/toy-strip.png
	$(PY) -m ddpm_faces.interpolate --attr Smiling --out out/demo/celeba-strip.png
	@echo
	@echo "the demo made:"
	@echo "  runs/demo/loss.png         the loss curve (loss.csv: its numbers)"
	@echo "  out/demo/toy-samples.png   toy faces with hats, from the model trained just now"
	@echo "  out/demo/toy-strip.png     the same toy persons, becoming blond"
	@echo "  out/demo/celeba-strip.png  the shipped CelebA model: the same persons, beginning to smile"

train-celeba: .venv/ready  ## train on CelebA; fetches it unless DATA_ROOT=FOLDER has it
	$(PY) -m ddpm_faces.train --data celeba --download $(ROOT) $(ARGS)

train-mnist: .venv/ready  ## train on MNIST; fetches it unless DATA_ROOT=FOLDER has it
	$(PY) -m ddpm_faces.train --data mnist --download $(ROOT) $(ARGS)

train-toy: .venv/ready  ## train on the embedded toy faces
	$(PY) -m ddpm_faces.train --data toy $(ROOT) $(ARGS)

sample: .venv/ready  ## a grid of faces: make sample ARGS='--set "Smiling,-Male"'
	$(PY) -m ddpm_faces.sample $(ARGS)

interpolate: .venv/ready  ## a strip: make interpolate ARGS="--attr Smiling"
	$(PY) -m ddpm_faces.interpolate $(or $(ARGS),--attr Eyeglasses)

evaluate: .venv/ready  ## how good a model is and how well it obeys: make evaluate DATA_ROOT=~/data ARGS="--model runs/mine"
	$(PY) -m ddpm_faces.evaluate $(ROOT) $(ARGS)

train-classifier: .venv/ready  ## the network that judges faces: make train-classifier DATA_ROOT=~/data
	$(PY) -m ddpm_faces.train_classifier $(ROOT) $(ARGS)

table1: .venv/ready  ## the report's Table 1 made again, hours on a CPU: make table1 DATA_ROOT=~/data
	$(PY) -m benchmarks.table1 $(ROOT) $(ARGS)

gallery: .venv/ready  ## draw the README's pictures with the shipped models, into docs/
	$(PY) docs/gallery.py

test: .venv/ready  ## run all tests but those of tests/survival
	$(PY) -m pytest -q --ignore=tests/survival
	@echo "all tests passed; what they made was in temporary folders and is gone"

notebooks: .venv/ready  ## make the course's .ipynb files and badges from notebooks/*.py and setup.cfg
	$(PY) notebooks/make.py

course: .venv/ready  ## run the five notebooks, a few minutes; out/course has them as pages, with their pictures
	COURSE_OUT=out/course $(PY) -m pytest -q tests/test_notebooks.py
	@echo "open out/course/1_noise.html"

test-slow: .venv/ready  ## tests/survival: kills, full disks, damaged files, without mercy
	$(PY) -m pytest -q tests/survival --full

.venv/bench: .venv/ready
	@.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e ".[bench]"
	@touch $@

bench: .venv/bench  ## speed and memory beside the report's recipe and a peer, about ten minutes
	$(PY) -m benchmarks $(ARGS)

bench-quick: .venv/bench  ## the same, rougher, in under two minutes
	$(PY) -m benchmarks --quick $(ARGS)

bench-ablation: .venv/ready  ## what each choice of celeba64 is worth, two hours: make bench-ablation DATA_ROOT=...
	$(PY) -m benchmarks.ablation $(ROOT) $(ARGS)

bench-learning: .venv/ready  ## what is learned from 20,000 faces, beside the report's network: make bench-learning DATA_ROOT=~/data
	$(PY) -m benchmarks.learning $(ROOT) $(ARGS)

lint: .venv/ready  ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy ddpm_faces benchmarks

clean:  ## remove what the commands made: out/ and caches; runs/ and .venv stay
	rm -rf out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

.PHONY: help setup demo train-celeba train-mnist train-toy sample interpolate evaluate train-classifier table1 gallery notebooks \
	course test test-slow bench bench-quick bench-learning bench-ablation lint clean
