# The front door. Meson and Ninja do the work; scripts/ holds each step.
TEXT = Hello. This is koe, speaking from a fresh clone.
build: ; @scripts/install-deps.sh && scripts/build.sh build
speak: build ; @scripts/speak.sh "$(TEXT)"
serve: build ; @build/koe serve
check: ; @scripts/install-deps.sh && scripts/check.sh
bench: build ; @scripts/bench.sh
clean: ; rm -rf build build-asan build-clang build-fuzz
.PHONY: build speak serve check bench clean
