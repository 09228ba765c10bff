# castd: `make start` runs a peer, `make test` tests all of it. Both install what is missing first.

GO        ?= go
TAGS      ?= nolibopusfile
TIME      ?= 30s
ROOM      ?= lobby
CROSS     ?= darwin/arm64 windows/amd64
TESTFLAGS ?=

# Packages without sockets and processes run under the race detector as well. Those that link libp2p or pion/webrtc are
# left to `make race`: the detector makes them several times slower.
PURE := $(wildcard ./tree ./tree/treesim ./mixer ./mixer/jitter) $(wildcard $(addprefix ./engine/,wire relay seal room uplink container codec store gateway))

# Without libopus or a C compiler castd is built without cgo.
export CGO_ENABLED ?= $(shell { command -v $${CC:-cc} && pkg-config --exists opus; } >/dev/null 2>&1 && echo 1 || echo 0)

.PHONY: start build test race fuzz generate lint deps test-deps clean

# The two steps are separate makes so that CGO_ENABLED is looked up after the installation.
start: deps
	@$(MAKE) --no-print-directory build
	./castd start --room $(ROOM)

# Without a page of its own for traces, which nobody can open here, gRPC takes 6 MB less.
build:
	$(GO) build -tags $(TAGS),grpcnotrace -o castd ./cmd/castd

test: test-deps
	@$(MAKE) --no-print-directory test-all

.PHONY: test-all
test-all: build
	$(GO) vet -tags $(TAGS) ./...
	$(GO) test -tags $(TAGS) -timeout 20m $(TESTFLAGS) $$($(GO) list -tags $(TAGS) ./... | grep -v '/e2e$$')
	@# Go does not see that what these tests start has changed, so that their results must not be kept.
	$(GO) test -tags $(TAGS) -timeout 25m -count=1 $(TESTFLAGS) ./cmd/castd/e2e
	@if [ "$(CGO_ENABLED)" = 1 ]; then $(MAKE) --no-print-directory race-pure test-nocgo; fi
	$(MAKE) --no-print-directory cross
	$(MAKE) --no-print-directory fuzz TIME=5s

# Other systems are built and vetted, without cgo, which they would need a C compiler of theirs for.
.PHONY: cross
cross:
	@for target in $(CROSS); do \
		echo "build and vet for $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -tags $(TAGS) -o /dev/null ./cmd/castd || exit 1; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) vet -tags $(TAGS) ./... || exit 1; \
	done

# The same program without cgo sends files of each codec and receives them.
.PHONY: test-nocgo
test-nocgo:
	CGO_ENABLED=0 $(GO) build -o dist/castd-nocgo ./cmd/castd
	CASTD_BIN="$(CURDIR)/dist/castd-nocgo" $(GO) test -tags $(TAGS) -timeout 5m -count=1 $(TESTFLAGS) -run '^TestCodecs$$/^(opus.ogg|vp9.webm|av1.mkv|h264.mkv)$$' ./cmd/castd/e2e

.PHONY: race-pure
race-pure:
	$(GO) test -race -short -tags $(TAGS) -timeout 10m $(PURE)

race:
	$(GO) test -race -tags $(TAGS) -timeout 60m $(TESTFLAGS) ./...

fuzz:
	@GO="$(GO)" .ci/fuzz $(TIME) $(TAGS)

generate:
	$(GO) generate -tags $(TAGS) ./...

lint:
	@unformatted=$$(gofmt -l cmd engine $(wildcard examples tree mixer plugins)); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w): $$unformatted"; exit 1; fi
	$(GO) vet -tags $(TAGS) ./...
	@if command -v golangci-lint >/dev/null 2>&1; then golangci-lint run --build-tags $(TAGS); \
	else echo "golangci-lint is not installed: only gofmt and go vet have looked"; fi

deps:
	@.ci/deps build

test-deps:
	@.ci/deps test

clean:
	rm -rf castd dist cmd/castd/e2e/node_modules examples/plugin-node/node_modules examples/plugin-node/dist

.PHONY: screenshot
screenshot: test-deps build
	CASTD_BIN="$(CURDIR)/castd" CASTD_SCREENSHOT="$(CURDIR)/.github/page.png" $(GO) test -tags $(TAGS) -count=1 -run '^TestScreenshot$$' -v ./cmd/castd/e2e
