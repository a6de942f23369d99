# `make` lists the targets. DATA_ROOT= says where the data is, ARGS= goes to the command: make sample ARGS="--n 4 --seed 7"
.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python
# one worker a core, each with one thread of torch
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -q -n auto --dist worksteal
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

# ddim smooths a little: sampled exactly, a model of four minutes shows all the grain that it has not learned to remove
demo: .venv/ready  ## train on toy faces for about four minutes and show what comes out
	@rm -rf runs/demo out/demo
	$(PY) -m ddpm_faces.train --data toy --out runs/demo --minutes 4 --batch-size 32 --lr 2e-3 --warmup 60 --guidance 2.5 --save-every 1000
	$(PY) -m ddpm_faces.sample --model runs/demo --set "Blond_Hair" --n 8 --sampler ddim --steps 20 --out out/demo/toy-samples.png
	$(PY) -m ddpm_faces.interpolate --model runs/demo --attr Black_Hair --sampler ddim --steps 20 --out out/demo/toy-strip.png
	$(PY) -m ddpm_faces.interpolate --attr Smiling --out out/demo/celeba-strip.png
	@echo
	@echo "the demo made:"
	@echo "  runs/demo/loss.png         the loss curve (loss.csv: its numbers)"
	@echo "  out/demo/toy-samples.png   toy faces with blond hair, from the model trained just now"
	@echo "  out/demo/toy-strip.png     the same toy faces, their hair turning black"
	@echo "  out/demo/celeba-strip.png  the shipped CelebA model: the same people, beginning to smile"

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

page: .venv/ready  ## the model in one HTML file, served on 127.0.0.1: make page ARGS="--model celeba64"
	$(PY) -m ddpm_faces.page --serve $(or $(ARGS),--model celeba64-two)

evaluate: .venv/ready  ## how good a model's images are, and whether they show what was asked: make evaluate DATA_ROOT=~/data ARGS="--model runs/mine"
	$(PY) -m ddpm_faces.evaluate $(ROOT) $(ARGS)

train-classifier: .venv/ready  ## the attribute classifier that measures: make train-classifier DATA_ROOT=~/data
	$(PY) -m ddpm_faces.train_classifier $(ROOT) $(ARGS)

table1: .venv/ready  ## the report's Table 1 made again, hours on a CPU: make table1 DATA_ROOT=~/data
	$(PY) -m experiments.table1 $(ROOT) $(ARGS)

ablation bench-ablation: .venv/ready  ## what each choice of celeba64 is worth, two hours: make ablation DATA_ROOT=...
	$(PY) -m experiments.ablation $(ROOT) $(ARGS)

learning bench-learning: .venv/ready  ## what is learned from 20,000 faces, beside the report's network: make learning DATA_ROOT=...
	$(PY) -m experiments.learning $(ROOT) $(ARGS)

gallery: .venv/ready  ## draw the README's images with the shipped models, into docs/
	$(PY) docs/gallery.py

motion: .venv/ready  ## film the page for the README, in Debian's chromium, into docs/page.webp
	$(PY) docs/motion.py

test: .venv/ready  ## run the tests, about five minutes on two idle cores (not tests/survival, not the course)
	$(PYTEST) -m "not course" --ignore=tests/survival $(ARGS)
	@echo "all tests passed; their files were in temporary folders and are gone"

notebooks: .venv/ready  ## make the course's .ipynb files and badges from notebooks/*.py and setup.cfg
	$(PY) notebooks/make.py

course: .venv/ready  ## run the seven notebooks, some minutes; out/course has them as pages, with their images
	COURSE_OUT=out/course $(PYTEST) -m course tests/notebooks
	@echo "open out/course/1_noise.html"

docs: .venv/ready  ## build the site into out/site, with the course as `make course` ran it
	.venv/bin/sphinx-build -W --keep-going -q -b html docs out/site
	@echo "open out/site/index.html"

test-slow: .venv/ready  ## tests/survival in full: kills, full disks, damaged files, without mercy
	$(PY) -m pytest -q tests/survival --full

.venv/bench: .venv/ready
	@.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e ".[bench]"
	@touch $@

bench: .venv/bench  ## speed and memory beside the report's recipe and a peer, about ten minutes
	$(PY) -m benchmarks $(ARGS)

bench-quick: .venv/bench  ## the same, rougher, in under two minutes
	$(PY) -m benchmarks --quick $(ARGS)

lint: .venv/ready  ## ruff and mypy (strict on the package)
	.venv/bin/ruff check --output-format concise .
	.venv/bin/ruff format --check .
	.venv/bin/mypy ddpm_faces benchmarks experiments

engine: .venv/ready  ## compile ddpm_faces/web/engine.c to WebAssembly
	$(PY) ddpm_faces/web/build_engine.py

clean:  ## remove caches and what the commands made, but reports; runs/ and .venv stay
	find out -mindepth 1 -maxdepth 1 ! -name "evaluate-*" -exec rm -rf {} + 2>/dev/null || true
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

.PHONY: help setup demo page motion train-celeba train-mnist train-toy sample interpolate evaluate train-classifier table1 ablation \
	bench-ablation learning bench-learning gallery notebooks course docs test test-slow bench bench-quick lint clean
