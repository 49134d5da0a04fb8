# `make demo` and `make test` need Python 3.11 or newer and nothing else: they make .venv themselves.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --quiet -c constraints.txt

.PHONY: demo demo-study test check format bench bench-segment bench-training bench-stats bench-scans bench-cohort bench-cohort-network bench-longitudinal bench-local-change bench-atrophy bench-box bench-lesions bench-thickness bench-vbm bench-atlas bench-atlas-agreement clean bench-service fuzz-service openapi pictures web

demo: $(VENV)/base.done
	$(BIN)/fibromorph demo --out demo

# 24 simulated people with planted changes: scans, segmentation, group report. Minutes.
demo-study: $(VENV)/base.done
	$(BIN)/fibromorph demo --study --out demo

test: $(VENV)/dev.done
	$(BIN)/pytest

check: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Seconds and peak memory per stage; SCAN=... for a scan of your own.
bench: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.stages $(if $(SCAN),--scan $(SCAN))

# From scan to report, models and options in turn; SCAN is a file.
bench-segment: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.segment $(SCAN)

# Training steps per second, their parts, how busy the device is: MAPS= a folder of label maps.
bench-training: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.training $(if $(MAPS),--maps $(MAPS))

# Error rates and coverage of the statistics over simulated studies; seconds of the permutations.
bench-stats: $(VENV)/dev.done
	$(BIN)/python benchmarks/stats.py

# Planted changes through scans, segmentation and statistics: 23 v 21.
bench-scans: $(VENV)/dev.done
	$(BIN)/python benchmarks/through_scans.py

# Cohorts: killed and resumed, overheads, memory, 100 000 simulated scans, throughput of workers.
bench-cohort: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.cohort $(PARTS)

# Two Dask workers in network namespaces over TLS, a link cut, a worker killed; needs root.
bench-cohort-network: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.cohort_network

# Scan-rescan noise of sessions segmented alone and jointly: make bench-longitudinal SCANS="A B".
bench-longitudinal: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.cohort_longitudinal $(SCANS)

# How much of a planted local change arrives in the volumes: SCAN=, LABELS= on its voxels, MODEL=.
bench-local-change: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.local_change $(SCAN) $(LABELS) --model $(or $(MODEL),t1-open)

# Whether eTIV stays when a brain shrinks in its skull: MODEL=.
bench-atrophy: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.atrophy --model $(or $(MODEL),t1-open)

# Volumes of a scan in longer boxes around the same brain, and in boxes aside; SCAN is a file.
bench-box: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.box $(SCAN) --model $(or $(MODEL),t1-open)

# What dark spots in the white matter do to volumes; SCAN is a file.
bench-lesions: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.lesions $(SCAN) --model $(or $(MODEL),t1-open)

# How much of a thinning of the cortex its measured thickness shows; SCAN is a file.
bench-thickness: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.thickness $(SCAN) --model $(or $(MODEL),t1-open)

# How much of a local change a map of grey matter shows, and where; SCAN is a file.
bench-vbm: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.vbm $(SCAN) --model $(or $(MODEL),t1-open)

# How far an atlas's regions move between acquisitions, and agree with regions drawn by hand.
bench-atlas: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.atlas $(SCANS) $(foreach one,$(or $(ATLAS),desikan_killiany),--atlas $(one))

bench-atlas-agreement: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.atlas_agreement $(FOLDER) --atlas $(or $(ATLAS),neuromorphometrics)

# Overhead and throughput of the service, and its answers to hostile uploads.
bench-service: $(VENV)/dev.done
	PYTHONPATH=. $(BIN)/python benchmarks/service.py

# The service's fuzz tests, with fifty times the examples of `make test`.
fuzz-service: $(VENV)/dev.done
	FIBROMORPH_FUZZ_EXAMPLES=400 $(BIN)/pytest tests/serving/service/test_hostile.py tests/serving/service/test_openapi.py

openapi: $(VENV)/dev.done
	$(BIN)/python -m fibromorph.serving.service.document > docs/api/openapi.json.new
	mv docs/api/openapi.json.new docs/api/openapi.json

# The README's pictures, of what `make demo demo-study` left; needs Chromium.
pictures: $(VENV)/dev.done
	$(BIN)/python docs/pictures.py demo

# The viewer of the service's page, built into the package; needs Node.
web:
	cd web && npm ci --no-audit --no-fund && npm run build

clean:
	rm -rf $(VENV) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The setup is quiet but slow: say what happens.
$(VENV)/base.done: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing fibromorph into $(VENV) (about a minute)"
	$(PIP) -e ".[demo]"
	touch $@

$(VENV)/dev.done: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing fibromorph for development into $(VENV) (some minutes: torch is large)"
	$(PIP) -e ".[train,serve,demo,openvino,vbm,atlases,cluster,dev]"
	touch $@ $(VENV)/base.done
