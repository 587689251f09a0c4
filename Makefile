# make lab     open the course in JupyterLab
# make test    check style and types, run every test and every notebook (quick profile);
#              PYTEST="-m data": only what reads the real data, if AELIB_DATA says where they are
# make course  execute every notebook in place, in the profile of AELIB_PROFILE (full by default)
# make student    write the exercise edition to notebooks/exercises (NOTEBOOKS="09 11": of these pages)
# make solutions  the same, with a solution folded below each exercise
# make lock    write requirements.lock again, with uv (pip install uv)
# make site    write the pages as a web site to build/site; they are not run. Needs npm
# make bench   measure ours beside what people use, and put figure and table into materials/speed.md (CASES=mlp_vae: one)
PYTHON ?= python3
VENV ?= .venv
# the set that is tested; CONSTRAINTS= takes the newest versions that pyproject.toml allows
CONSTRAINTS ?= constraints.txt
# the same set with the SHA-256 of each file, for every system; not with another index, whose files are others
LOCK ?= $(if $(PIP_EXTRA_INDEX_URL),,$(CONSTRAINTS:constraints.txt=requirements.lock))
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off
# one OpenMP thread waiting for another shall not burn the core that the other needs
export GOMP_SPINCOUNT ?= 2000
.PHONY: lab test course student solutions site bench lock clean

lab: $(VENV)/ready
	@echo "opening the course; stop it with Ctrl-C"
	$(BIN)/jupyter lab --ServerApp.root_dir=. \
	  --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
	  $$([ "$$(id -u)" = 0 ] && echo --allow-root) \
	  $$($(BIN)/python -c "import webbrowser; webbrowser.get()" 2>/dev/null || echo --no-browser) $(LAB)

test: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@# a worker for each core (at most four: each takes up to 2 GB), one thread in each
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile $(PYTEST)

course: $(VENV)/ready
	$(BIN)/python notebooks/execute.py $(NOTEBOOKS)

student: $(VENV)/ready
	$(BIN)/python notebooks/editions.py exercises $(NOTEBOOKS)

solutions: $(VENV)/ready
	$(BIN)/python notebooks/editions.py solutions $(NOTEBOOKS)

SITE := materials/site
site: $(VENV)/ready $(SITE)/node_modules/.package-lock.json
	$(BIN)/python -m sphinx -q -W --keep-going -j auto -d build/doctrees -c $(SITE) . build/site
	@echo "build/site: to look at it: $(BIN)/python -m http.server --directory build/site"

$(SITE)/node_modules/.package-lock.json: $(SITE)/package-lock.json
	npm ci --prefix $(SITE) --silent --ignore-scripts --no-audit --no-fund

bench: $(VENV)/ready
	$(BIN)/python tests/benchmarks/run.py $(CASES)
	$(BIN)/python tests/benchmarks/report.py

# after a change of pyproject.toml or constraints.txt; uv asks the package index for names and sums alone
lock:
	uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --extra dev --constraints constraints.txt --custom-compile-command "make lock" -o requirements.lock pyproject.toml

$(VENV)/ready: pyproject.toml constraints.txt requirements.lock
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV): a few minutes, once"
	@$(PYTHON) -m venv $(VENV) || { echo "venv is missing: apt-get install python3-venv (or your system's like)"; exit 1; }
	$(if $(LOCK),$(PIP) --require-hashes --only-binary :all: -r $(LOCK))
	$(PIP) $(if $(LOCK),--no-deps --no-build-isolation,$(CONSTRAINTS:%=-c %)) -e ".[dev]"
	@# no question about news on the first page a learner sees
	@mkdir -p $(VENV)/share/jupyter/lab/settings
	@echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}' > $(VENV)/share/jupyter/lab/settings/overrides.json
	@touch $@

clean:
	rm -rf $(VENV)
