# make run and make test are all that a fresh machine with Go needs; make help lists the rest.
SHELL := /bin/bash
GO ?= go
LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
NESTED := sdk/go plugins examples/go-plugin examples/api-client examples/raw-extism server/deploy/lint
GUESTS := plugins examples/go-plugin examples/api-client examples/raw-extism server/bench/plugin server/bench/guest server/console/e2e/plugin $(addprefix host/testdata/,guest streams kernel keeper clients)
NPM := host/browser server/console
BUNDLE := --bundle --format=esm --target=es2022 --external:yaml --external:node:*
FUZZTIME ?= 30s
BUILD := build

.PHONY: help run test test-go test-browser browser browser-tools browser-package example-browser build download generate wat check lint tidy fuzz mutants race soak bench-go bench overload restart bench-build release clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: build ## build, and serve the demo on 127.0.0.1:8080 (ARGS='--addr HOST:PORT' or PORT=… moves it)
	@exec $(BUILD)/sortie serve --demo $(ARGS)

build: ## build build/sortie
	@test -x $(BUILD)/sortie || echo "building $(BUILD)/sortie; the first time takes a minute or more" >&2
	@$(GO) build -trimpath -o $(BUILD)/sortie ./server/cmd/sortie

download: ## fetch every module that build and tests need
	@$(GO) mod download
	@for m in $(NESTED) host/testdata/guest host/testdata/clients; do (cd $$m && $(GO) mod download) || exit 1; done

test: download browser-tools build ## every test; after the download none uses the network (SORTIE_BROWSER=skip: without Node and Chromium)
	@$(MAKE) --no-print-directory test-go GOPROXY=off
	@test "$$SORTIE_BROWSER" = skip || $(MAKE) --no-print-directory test-browser GOPROXY=off

test-go: export GOPROXY := off
test-go: export SORTIE_BROWSER := skip
test-go:
	$(GO) vet ./...
	$(GO) test -timeout 10m ./...
	@for m in $(NESTED); do echo "$(GO) test in $$m" && (cd $$m && $(GO) vet ./... && $(GO) test ./...) || exit 1; done
	@for m in $(GUESTS); do (cd $$m && GOOS=wasip1 GOARCH=wasm $(GO) vet -unsafeptr=false ./...) || exit 1; done

browser-tools: ## install what the browser tests need: npm packages, and Chromium if there is none
	@test "$$SORTIE_BROWSER" = skip || host/browser/tools.sh $(NPM)

browser: ## build/browser: the browser host, index.js, worker.js and what they share
	@$(GO) tool esbuild host/browser/src/index.ts host/browser/src/worker.ts $(BUNDLE) --minify --splitting --chunk-names=guest \
		--legal-comments=none --outdir=$(BUILD)/browser --log-level=warning

browser-package: browser browser-tools ## build/sortie-browser-….tgz: the npm package @sortie/browser, with its types
	@rm -rf host/browser/dist && mkdir host/browser/dist && cp $(BUILD)/browser/*.js host/browser/dist/
	@cd host/browser && npm run --silent types && npm pack --silent --pack-destination $(CURDIR)/$(BUILD)

# The host's own tests run in Node; host/conformance holds it to the vectors in Node and Chromium; the console's run in Chromium.
test-browser: build browser
	@for m in $(NPM); do (cd $$m && npm run --silent check) || exit 1; done
	@rm -rf $(BUILD)/browser-test
	cd host/browser && npm test --silent
	SORTIE_BROWSER=required $(GO) test -count=1 -timeout 10m ./host/conformance
	@sed '/^## /,$$d' $(BUILD)/conformance.md
	cd server/console && SORTIE_BIN=$(CURDIR)/$(BUILD)/sortie npm run --silent e2e

example-browser: browser build ## a page that runs a plugin by itself, on 127.0.0.1:8090
	@$(BUILD)/sortie build examples/go-plugin
	@exec $(GO) run ./examples/browser $(ARGS)

race: ## the tests under the race detector (needs a C compiler)
	$(GO) test -race -timeout 20m ./...

generate: ## make generated files anew
	$(GO) generate ./...

wat: ## assemble the hand-written guests of host/testdata/wat and host/conformance anew (needs Node)
	@cd host/testdata/wat && npm ci --silent --no-audit --no-fund && node assemble.mjs . ../../conformance/guests

check: lint tidy ## linter, formatting, tidy modules, generated files up to date
	@$(MAKE) --no-print-directory generate
	@test -z "$$(git status --porcelain)" || { git status --short; git diff | head -100; \
		echo "make check: the tree isn't clean after generating: commit what changed" >&2; exit 1; }

lint:
	$(GO) run $(LINT) run ./...
	@for m in sdk/go plugins server/deploy/lint; do (cd $$m && $(GO) run $(LINT) run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "make check: gofmt these files" >&2; exit 1; }

tidy:
	$(GO) mod tidy -diff
	@for m in sdk/go plugins examples/go-plugin examples/api-client server/deploy/lint server/bench/plugin server/bench/guest server/console/e2e/plugin $(addprefix host/testdata/,guest streams clients); do (cd $$m && $(GO) mod tidy -diff) || exit 1; done

fuzz: ## each fuzz target for FUZZTIME (30s)
	@{ $(GO) list -f '{{.Dir}}' ./...; for m in sdk/go plugins; do (cd $$m && $(GO) list -f '{{.Dir}}' ./...); done; } | while read -r d; do \
		grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$d/*_test.go 2>/dev/null | sed 's/func //' | while read -r f; do \
			echo "== $$f in $${d#$(CURDIR)/}" && (cd $$d && $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) .) || exit 1; \
		done || exit 1; done

mutants: browser-tools ## take guards out of the hosts one by one: tests, or vectors, must fail each time
	SORTIE_MUTANTS=1 $(GO) test -timeout 60m -run Mutants -v ./host/fetch ./host/conformance

soak: ## 200,000 invocations, after which nothing may be left (SOAK=n: so many)
	SORTIE_SOAK=$(or $(SOAK),200000) $(GO) test -count=1 -timeout 30m -run '^TestSoak$$' -v ./host

bench-go: ## the Go benchmarks of every package
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench: bench-build ## compare Sortie with native Go, Extism's SDK, workerd and HTTPX (ARGS='--quick', '--markdown FILE', …)
	@exec $(BUILD)/bench/bench $(ARGS)

overload: bench-build ## open-loop load on Sortie at half and at twice its capacity (ARGS='--quick', …)
	@exec $(BUILD)/bench/bench overload $(ARGS)

restart: bench-build ## how soon 100 plugins answer after a restart with a warm cache (ARGS='--plugins N', …)
	@exec $(BUILD)/bench/bench restart $(ARGS)

bench-build:
	@$(GO) build -trimpath -o $(BUILD)/bench/bench ./server/bench

release: ## build/release: binaries, bills of materials and SHA256SUMS, the same bytes everywhere (VERSION=v1.2.3)
	@test -n '$(VERSION)' || { echo "make release: which one? Write make release VERSION=v1.2.3" >&2; exit 2; }
	@rm -rf $(BUILD)/release
	@$(GO) run ./server/deploy/release -version '$(VERSION)' -out $(BUILD)/release

clean: ## remove what was built
	rm -rf $(BUILD)
