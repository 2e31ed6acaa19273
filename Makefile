# onemsg: `make demo`, `make test`; `make help` lists the rest.
LUAS    ?= 5.4 luajit
LUA     ?= $(firstword $(LUAS))
CC      ?= cc
PKG     ?= pkg-config
BUSTED  ?= busted
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib/lua
DESTDIR ?=
VERSION := $(shell sed -n 's/^\#define OM_VERSION "\(.*\)"/\1/p' src/endpoint.h)
CFLAGS  ?= -O2 -g
B       ?= build

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wwrite-strings -Wcast-qual -Wpointer-arith \
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla -Wformat=2 -Wconversion -Werror
STD  = -std=c99 -D_POSIX_C_SOURCE=200809L -fPIC -fvisibility=hidden -pthread $(if $(POSTGRES),-DOM_POSTGRES) $(WARN) $(SAN)
LIBS = libcurl sqlite3 libcrypto $(POSTGRES)
# PostgreSQL where libpq is found; POSTGRES= builds without.
POSTGRES := $(shell $(PKG) --exists libpq && echo libpq)
SRC  = $(filter-out $(if $(POSTGRES),,src/sql_postgres%),$(wildcard src/*.c))
LUA_FILES = $(shell find lua -name '*.lua')
C_TESTS = $(patsubst spec/c/%_test.c,%,$(wildcard spec/c/*_test.c))
FAKE_DIR ?= /tmp/onemsg-fake

# What each Lua is called: interpreter, pkg-config name, version directory.
lua_5.4 = lua5.4
lua_luajit = luajit
pc_5.4 = lua5.4
pc_luajit = luajit
dir_5.4 = 5.4
dir_luajit = 5.1
cflags = $(shell $(PKG) --cflags $(pc_$(1)) $(LIBS))
ldlibs = $(shell $(PKG) --libs $(LIBS)) -lm -ldl
paths = LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/spec/?.lua;;' LUA_CPATH='$(CURDIR)/$(B)/$(1)/?.so;;'

all: $(LUAS:%=$(B)/%/onemsg.so) $(B)/onemsg ## build for Lua 5.4 and LuaJIT

define build_one
$(B)/$(1)/%.o: src/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(STD) $$(CFLAGS) $(call cflags,$(1)) -MMD -MP -c $$< -o $$@
$(B)/$(1)/onemsg.so: $(SRC:src/%.c=$(B)/$(1)/%.o)
	$$(CC) -shared -pthread -Wl,-z,nodelete $$(SAN) $$(LDFLAGS) $$^ -o $$@ $$(ldlibs)
$(B)/$(1)/support/%.so: spec/support/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(STD) $$(CFLAGS) $(call cflags,$(1)) -shared $$(LDFLAGS) $$< -o $$@
-include $(SRC:src/%.c=$(B)/$(1)/%.d)
endef
$(foreach lua,$(LUAS),$(eval $(call build_one,$(lua))))

# The command: $(call launcher,FILE,where its Lua files are,where its module is); both as Lua writes texts.
define launcher
	@printf '%s\n' '#!/usr/bin/env $(lua_$(LUA))' 'package.path = $(2) .. "/?.lua;" .. package.path' \
	  'package.cpath = $(3) .. "/?.so;" .. package.cpath' 'os.exit(require("onemsg.cli").main(arg), true)' >'$(1)'
	@chmod 755 '$(1)'
endef
in_tree = (arg[0]:match "^(.*)/lib/luarocks/" or "") .. "/$(1)/lua/" .. _VERSION:match "%d.%d"
$(B)/onemsg: FORCE
	@mkdir -p $(@D)
	$(call launcher,$@,"$(CURDIR)/lua","$(CURDIR)/$(B)/$(LUA)")

FORCE:

.SECONDEXPANSION:
$(B)/c/%_test: spec/c/%_test.c src/%.c $$(wildcard src/$$*_*.c) $(wildcard src/*.h) spec/c/test.h
	@mkdir -p $(@D)
	$(CC) $(STD) $(CFLAGS) -Isrc $(call cflags,5.4) $(filter %.c,$^) -o $@ $(ldlibs)
$(B)/c/endpoint_test: src/redact.c

test-build: all $(foreach lua,$(LUAS),$(B)/$(lua)/support/sys.so $(B)/$(lua)/support/faults.so) $(C_TESTS:%=$(B)/c/%_test)

deps test-deps: ## install what is missing, from Debian's packages
	@.ci/deps $(if $(filter test-deps,$@),test)

demo: deps ## confirm payments, from event to delivered
	@$(MAKE) -s all
	@for part in demo demo_service; do \
	  $(call paths,5.4) FAKE_DIR=$(FAKE_DIR)-demo $(lua_5.4) examples/$$part.lua || exit 1; done

test: test-deps ## build and pass every test
	@$(MAKE) -s -j2 test-build
	@$(MAKE) -s lint
	@LUAS='$(LUAS)' B='$(B)' BUSTED='$(BUSTED)' C_TESTS='$(C_TESTS)' spec/run

lint: ## form and static analysis
	@clang-format --dry-run -Werror src/*.[ch] spec/c/*.[ch] spec/support/*.c $(wildcard spec/bench/*.c spec/bench/*/*.c)
	@cppcheck -q --std=c99 --enable=warning,portability --inline-suppr --error-exitcode=1 \
	  --suppress=missingIncludeSystem -Isrc src
	@luacheck --codes --no-color --formatter plain lua spec examples

asan tsan valgrind: test-deps ## the specs under a sanitizer
	@spec/sanitize $@

fuzz: test-deps test-build ## 2,000 rounds of the whole workflow against its model
	@ONEMSG_FUZZ_ROUNDS=2000 LUAS='$(LUAS)' B='$(B)' BUSTED='$(BUSTED)' spec/run spec/fuzz_spec.lua

mutations: test-deps test-build ## decisions changed into faults, each found by the fuzz
	@$(call paths,$(LUA)) $(lua_$(LUA)) spec/support/mutations.lua

bench: test-deps all ## side by side with what else there is; ratios in one run
	@$(call paths,$(LUA)) $(lua_$(LUA)) spec/bench/run.lua

fake: ## start a stand-in 1MSG on loopback; . $(FAKE_DIR)/fake.env points onemsg at it
	@$(lua_$(LUA)) lua/onemsg/fake/server.lua start --dir $(FAKE_DIR)
fake-stop: ## stop it
	@$(lua_$(LUA)) lua/onemsg/fake/server.lua stop --dir $(FAKE_DIR)

openresty: deps all ## a checkout in nginx that confirms by WhatsApp; examples/openresty/run stop ends it
	@examples/openresty/run

env: ## exports for one Lua: eval "$$(make -s env LUA=luajit)"
	@echo "export $(call paths,$(LUA)) PATH='$(CURDIR)/$(B)':\"\$$PATH\""

define install_one
	install -d '$(DESTDIR)$(LIBDIR)/$(dir_$(1))'
	install -m 755 $(B)/$(1)/onemsg.so '$(DESTDIR)$(LIBDIR)/$(dir_$(1))/'
	cd lua && find . -name '*.lua' -exec install -D -m 644 {} '$(DESTDIR)$(PREFIX)/share/lua/$(dir_$(1))/{}' ';'

endef
install: all ## to PREFIX, under DESTDIR
	$(foreach lua,$(LUAS),$(call install_one,$(lua)))
	install -d '$(DESTDIR)$(PREFIX)/bin'
	$(call launcher,$(DESTDIR)$(PREFIX)/bin/onemsg,"$(PREFIX)/share/lua/$(dir_$(LUA))","$(LIBDIR)/$(dir_$(LUA))")

define uninstall_one
	rm -rf '$(DESTDIR)$(PREFIX)/share/lua/$(dir_$(1))/onemsg' '$(DESTDIR)$(PREFIX)/share/lua/$(dir_$(1))/resty/onemsg'
	rm -f '$(DESTDIR)$(PREFIX)/share/lua/$(dir_$(1))/resty/onemsg.lua'
	rm -f '$(DESTDIR)$(LIBDIR)/$(dir_$(1))/onemsg.so'
	rmdir '$(DESTDIR)$(PREFIX)/share/lua/$(dir_$(1))/resty' 2>/dev/null || :

endef
uninstall: ## what install put there; settings and stores stay
	$(foreach lua,$(LUAS),$(call uninstall_one,$(lua)))
	rm -f '$(DESTDIR)$(PREFIX)/bin/onemsg'

# For the rockspec: LuaRocks says where the headers are and where things go.
rock-build: $(SRC)
	@mkdir -p $(B)/rock
	$(CC) $(STD) $(CFLAGS) -I'$(LUA_INCDIR)' $(shell $(PKG) --cflags $(LIBS)) -shared -Wl,-z,nodelete $(SRC) \
	  -o $(B)/rock/onemsg.so $(ldlibs)
rock-install:
	install -d '$(INST_LIBDIR)' '$(INST_LUADIR)' '$(INST_BINDIR)'
	install -m 755 $(B)/rock/onemsg.so '$(INST_LIBDIR)/'
	cd lua && find . -name '*.lua' -exec install -D -m 644 {} '$(INST_LUADIR)/{}' ';'
	$(call launcher,$(INST_BINDIR)/onemsg,$(call in_tree,share),$(call in_tree,lib))

version:
	@echo $(VERSION)
rock: ## a source rock of this version, in build/
	@VERSION=$(VERSION) B=$(B) .ci/rock
deb: ## a Debian package of this version, in build/
	@VERSION=$(VERSION) B=$(B) .ci/deb
package-test: ## packages built, installed into empty trees, upgraded, removed; needs root and the network
	@VERSION=$(VERSION) B=$(B) .ci/package-test

clean: ## remove what was built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z][a-z -]*\):.*## \(.*\)/\1: \2/p' Makefile

.PHONY: all test-build deps test-deps demo test lint asan tsan valgrind fuzz mutations bench fake fake-stop openresty env install uninstall rock-build rock-install version rock deb package-test clean help
