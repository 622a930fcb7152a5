# SPDX-License-Identifier: Apache-2.0
#
# Coffer. Every folder below is compiled by wildcard: F/*.c except F/main.c go into $(BUILD)/libF.a, F/main.c makes a
# program. Common switches: DEV=1 (-Werror), SANITIZE=address,undefined or thread, BUILD=dir, V=1 (show commands), CC=clang.

FOLDERS  := base wire crypto cache fusefs syncd server cli
comma    := ,
SANITIZE ?=
BUILD    ?= build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
# One name for it, however it is given: the .d files hold that name.
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))
PREFIX   ?= /usr/local
SBIN     ?= /sbin
NPROC    := $(shell nproc)
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# Packages of Debian 12; `make deps` installs what is missing.
DEPS := gcc libc6-dev make pkg-config binutils libfuse3-dev fuse3 libsodium-dev libcurl4-openssl-dev libsqlite3-dev \
	libwebsockets-dev libwebsockets-evlib-ev libev-dev libexpat1-dev libxxhash-dev libzstd-dev libssl-dev libjansson-dev libqrencode-dev libsmartcols-dev \
	libpq-dev postgresql \
	libcmocka-dev libcbor-dev \
	nginx-light procps util-linux curl sqlite3 jq python3 openssl acl attr rsync git vim
# Not everywhere: crypto/gcm_wide.c does without it.
DEPS += $(if $(filter x86_64,$(shell uname -m)),libipsec-mb-dev)
IPSEC_MB = $(if $(wildcard /usr/include/intel-ipsec-mb.h),-lIPSec_MB)
DEPS += $(if $(filter check-long,$(MAKECMDGOALS)),valgrind) $(if $(filter fuzz,$(MAKECMDGOALS)),clang) \
	$(if $(filter lint,$(MAKECMDGOALS)),clang-tidy cppcheck) $(if $(filter cov,$(MAKECMDGOALS)),gcovr) \
	$(if $(filter format format-check,$(MAKECMDGOALS)),clang-format-14)

# Link sets: the folders of a program in layer order, then its libraries.
coffer_DIR         := cli
coffer_LIBS        := cli wire base
coffer_PKG         := libqrencode smartcols
coffer-fs_DIR      := fusefs
coffer-fs_LIBS     := fusefs cache crypto wire base
coffer-fs_PKG      := fuse3 libsodium sqlite3 libzstd libcrypto
coffer-fs_MORE     := $(IPSEC_MB)
coffer-syncd_DIR   := syncd
coffer-syncd_LIBS  := syncd crypto wire base
coffer-syncd_PKG   := libcurl libwebsockets libsodium libzstd libcrypto
coffer-relay_DIR   := server
coffer-relay_LIBS  := server crypto wire base
coffer-relay_PKG   := expat libxxhash libcurl libwebsockets sqlite3 libsodium libzstd libcrypto jansson libpq
coffer-relay_MORE  := -lev
PROGRAMS := $(foreach p,coffer coffer-fs coffer-syncd coffer-relay,$(if $(wildcard $($(p)_DIR)/main.c),$(p)))
ALL_PKG  := expat libxxhash fuse3 libsodium libcurl sqlite3 libwebsockets libzstd libcrypto jansson libpq libqrencode smartcols

# A test links every folder; LINK="base wire" narrows it while another folder does not build.
LINK     ?= cli server syncd fusefs cache crypto wire base

cc_has    = $(shell $(CC) -Werror $(1) -c -x c /dev/null -o /dev/null 2>/dev/null && echo $(1))
pkg       = $(shell pkg-config $(1) $(2) 2>/dev/null)
IS_GCC   := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),,yes)

OPT      ?= -O2 -g
WARN     := -Wall -Wextra -Wshadow -Wformat=2 -Wvla -Wmissing-prototypes -Wstrict-prototypes $(if $(DEV),-Werror)
WARN_LIB := -Wconversion
HARDEN   := -fstack-protector-strong -fPIE $(call cc_has,-ftrivial-auto-var-init=zero)
HARDEN_LD := -pie -Wl,-z,relro,-z,now
ifeq ($(SANITIZE),)
HARDEN   += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
else
OPT      := -O1 -g -fno-omit-frame-pointer
SAN      := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
endif
CPPFLAGS := -I. -include banned.h -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	$(patsubst -I%,-isystem %,$(filter-out -I/usr/include,$(call pkg,--cflags,$(ALL_PKG))))
ALL_CFLAGS = -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(SAN) -pthread $(CFLAGS)
ALL_LDFLAGS = $(HARDEN_LD) -Wl,--as-needed $(SAN) -pthread $(LDFLAGS)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

sources = $(filter-out %/main.c,$(wildcard $(1)/*.c))
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
ARCHIVES := $(foreach f,$(FOLDERS),$(if $(call sources,$(f)),$(BUILD)/lib$(f).a))
TEST_ARCHIVES := $(filter $(foreach f,$(LINK),$(BUILD)/lib$(f).a),$(foreach f,$(LINK),$(filter %/lib$(f).a,$(ARCHIVES))))
TESTS    := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
LOADS    := $(patsubst tests/bench/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/load_*.c tests/bench/null_*.c))
BENCHES  := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/bench_*.c))
TOOLS    := $(patsubst tests/tools/%.c,$(BUILD)/tests/%,$(wildcard tests/tools/*.c)) $(BUILD)/tests/posix_suite
LIBTEST  := $(if $(wildcard tests/lib/*.c),$(BUILD)/libtest.a)
TEST_PKG := $(call pkg,--libs,$(ALL_PKG) cmocka) -lev $(IPSEC_MB)
WRAP     := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
ENV      := BUILD='$(abspath $(BUILD))' CC='$(CC)'
JOBS      = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(NPROC))

.PHONY: all tests deps demo check check-run check-unit check-integration check-long check-layers check-headers lint format \
	format-check bench bench-relay fuzz fuzz-run cov install uninstall clean help FORCE

##@ Build

all: $(PROGRAMS:%=$(BUILD)/%) ## the four programs, into build/

tests: $(TESTS) $(FUZZERS) $(BENCHES) $(LOADS) $(TOOLS) ## unit tests, corpus replays and benchmarks, not run

deps: ## install the Debian packages that build and tests need (root or sudo)
	@missing=; for p in $(DEPS); do \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] && exit 0; sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -qq && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing

install: all ## programs, systemd units, mount(8)'s helper (DESTDIR, PREFIX; SBIN= leaves the helper out)
	install -d $(DESTDIR)$(PREFIX)/bin
	$(if $(PROGRAMS),install -m 755 $(PROGRAMS:%=$(BUILD)/%) $(DESTDIR)$(PREFIX)/bin)
	@for kind in system user; do for u in contrib/systemd/$$kind/*.*; do [ ! -e "$$u" ] || \
		sed 's|@PREFIX@|$(PREFIX)|g' "$$u" | \
		install -D -m 644 /dev/stdin "$(DESTDIR)$(PREFIX)/lib/systemd/$$kind/$${u##*/}"; done; done
	$(if $(SBIN),install -d $(DESTDIR)$(SBIN) && ln -sf $(PREFIX)/bin/coffer $(DESTDIR)$(SBIN)/mount.fuse.coffer)

uninstall: ## remove what install put there (the same DESTDIR, PREFIX and SBIN)
	$(if $(PROGRAMS),rm -f $(PROGRAMS:%=$(DESTDIR)$(PREFIX)/bin/%))
	@for kind in system user; do for u in contrib/systemd/$$kind/*.*; do \
		rm -f "$(DESTDIR)$(PREFIX)/lib/systemd/$$kind/$${u##*/}"; done; done
	$(if $(SBIN),rm -f $(DESTDIR)$(SBIN)/mount.fuse.coffer)

clean: ## remove every build directory
	rm -rf build build-*

help: ## this list
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

##@ Check

check: deps ## everything but the long tests: what CI runs
	+@$(MAKE) --no-print-directory $(JOBS) check-run

check-run: all tests
	@$(ENV) tests/run

check-unit: tests ## unit tests and corpus replays
	@$(ENV) tests/run unit fuzz

check-integration: all $(TOOLS) ## tests/integration/*.sh (T=name runs one)
	@$(ENV) tests/run integration $(T)

check-long: deps ## tests/long/*.sh; tests under ASan+UBSan, TSan and valgrind
	+@$(MAKE) --no-print-directory $(JOBS) all tests
	+@$(MAKE) --no-print-directory $(JOBS) SANITIZE=address,undefined all tests
	+@$(MAKE) --no-print-directory $(JOBS) SANITIZE=thread all tests
	@$(ENV) tests/run long sanitizers sanitized valgrind

check-layers: ## no folder includes what it must not
	@tests/check-layers.sh

check-headers: ## each header compiles alone
	@$(ENV) FLAGS='$(CPPFLAGS)' tests/check-headers.sh

demo: deps ## a tour: relay, two devices, one space
	+@$(MAKE) --no-print-directory $(JOBS) all
	@$(ENV) tests/demo.sh

SOURCES   = $(foreach f,$(FOLDERS),$(wildcard $(f)/*.c))
FORMATTED = $(SOURCES) $(wildcard tests/*/*.c) # not the headers: their comments are aligned by hand

# cppcheck does not know the cleanup attribute (memleak), nor that a ret_x is unset only after an error (uninitvar and its kin).
lint: deps ## clang-tidy and cppcheck
	printf '%s\n' $(SOURCES) | xargs -P $(NPROC) -n 4 sh -c 'clang-tidy --quiet "$$@" -- -std=gnu11 $(CPPFLAGS)' clang-tidy
	cppcheck --quiet --inline-suppr --error-exitcode=1 --std=c11 --enable=warning,portability \
		--suppress=missingIncludeSystem --suppress=uninitvar --suppress=legacyUninitvar --suppress=ctuuninitvar --suppress=memleak -I. -D_GNU_SOURCE $(FOLDERS)

format: deps ## clang-format all sources in place (F="file ..." for some)
	clang-format-14 -i $(or $(F),$(FORMATTED))

format-check: deps ## fail if clang-format would change anything, or a header has a line over 120 columns
	clang-format-14 --dry-run --Werror $(or $(F),$(FORMATTED))
	@for h in $$(find $(FOLDERS) tests -name '*.h'); do \
		expand $$h | LC_ALL=C.UTF-8 grep -nE '.{121}' | sed "s|^|$$h:|"; done | grep . && exit 1 || :

##@ Measure

bench: all $(BENCHES) $(LOADS) ## tests/bench/*: machine-readable rows on standard output
	@for b in $(BENCHES); do $(ENV) $$b || exit 1; done
	@for b in $(wildcard tests/bench/*.sh); do $(ENV) $$b || exit 1; done

bench-relay: deps ## what one relay carries: connections, pushes, fan-out, files beside nginx (B="idle push plain pull fan" for some)
	+@$(MAKE) --no-print-directory $(JOBS) all $(LOADS)
	@$(ENV) $(BUILD)/tests/load_relay $(B)
	@$(if $(B),,$(ENV) $(BUILD)/tests/load_files)

FUZZ_SECONDS ?= 10
fuzz: deps ## libFuzzer with clang: each fuzzer for FUZZ_SECONDS=10
	+@$(MAKE) --no-print-directory $(JOBS) CC=clang BUILD=build-fuzz SANITIZE=address,undefined FUZZER=1 fuzz-run

fuzz-run: $(FUZZERS)
	@for f in $(FUZZERS); do n=$${f##*/fuzz_}; mkdir -p $(BUILD)/corpus/$$n tests/fuzz/corpus/$$n; echo "  FUZZ    $$n"; \
		$$f -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 -rss_limit_mb=1024 \
		-artifact_prefix=$(BUILD)/crash-$$n- $(BUILD)/corpus/$$n tests/fuzz/corpus/$$n || exit 1; done

cov: deps ## line coverage of the unit tests (needs gcovr)
	+@$(MAKE) --no-print-directory BUILD=build-cov CFLAGS=--coverage LDFLAGS=--coverage OPT='-O0 -g' check-unit
	gcovr --root . --object-directory build-cov $(FOLDERS:%=--filter '%/') --sort-percentage --print-summary

# --- rules ---------------------------------------------------------------------------------------------------------

# crypto/ also wipes the registers that it used before it returns (gcc only).
$(BUILD)/crypto/%.o: EXTRA := $(if $(IS_GCC),$(call cc_has,-fzero-call-used-regs=used-gpr))
$(BUILD)/tests/%.o: WARN_LIB :=
# clang builds everything else with coverage hooks when fuzzing.
FUZZ_CC := $(if $(FUZZER),-fsanitize=fuzzer-no-link)
FUZZ_LD := $(if $(FUZZER),-fsanitize=fuzzer)

$(BUILD)/%.o: %.c banned.h
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(WARN_LIB) $(EXTRA) $(FUZZ_CC) -MMD -MP -c -o $@ $<

# An archive is rebuilt when an object is newer or when the list of its sources changed.
$(BUILD)/lib%.list: FORCE
	@mkdir -p $(@D)
	@echo '$(call sources,$(if $(filter test,$*),tests/lib,$*))' | cmp -s - $@ || \
		echo '$(call sources,$(if $(filter test,$*),tests/lib,$*))' > $@

define archive
$(BUILD)/lib$(1).a: $(call objects,$(call sources,$(2))) $(BUILD)/lib$(1).list
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$(filter %.o,$$^)
endef
$(foreach f,$(FOLDERS),$(eval $(call archive,$(f),$(f))))
$(eval $(call archive,test,tests/lib))

define program
$(BUILD)/$(1): $(BUILD)/$($(1)_DIR)/main.o $(filter $(foreach f,$($(1)_LIBS),$(BUILD)/lib$(f).a),$(ARCHIVES))
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) $(if $(filter coffer-relay,$(1)),-Wl$(comma)-Map=$$@.map) -o $$@ $$< \
		$(foreach f,$($(1)_LIBS),$(filter %/lib$(f).a,$(ARCHIVES))) $(call pkg,--libs,$($(1)_PKG)) $($(1)_MORE) -lm
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

link_test = $(CC) $(ALL_LDFLAGS) $(1) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	$(TEST_PKG) -lm

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(LIBTEST) $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(call link_test,$(if $(LIBTEST),$(WRAP)))

# Programs that integration tests run.
$(BUILD)/tests/%: $(BUILD)/tests/tools/%.o $(LIBTEST) $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(call link_test)

# The POSIX suite needs nothing of the project.
$(BUILD)/tests/posix_suite: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/posix/*.c))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

# Load generators use the test helpers.
$(BUILD)/tests/%: $(BUILD)/tests/bench/%.o $(LIBTEST) $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(call link_test)

$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.o $(if $(FUZZER),,$(BUILD)/tests/fuzz/replay_main.o) $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(call link_test,$(FUZZ_LD))

$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(call link_test)

.SECONDARY:
-include $(wildcard $(BUILD)/*/*.d $(BUILD)/tests/*/*.d)
