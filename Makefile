# onemsg: make demo, make test. See README.md.
LUAS   ?= 5.4 luajit
CC     ?= cc
PREFIX ?= /usr/local
PKG    ?= pkg-config

CFLAGS ?= -O2 -g
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wwrite-strings -Wcast-qual -Wpointer-arith \
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla -Wformat=2 -Wconversion -Werror
STD  = -std=c99 -D_POSIX_C_SOURCE=200809L -fPIC -fvisibility=hidden -pthread $(WARN) $(SAN)
LIBS = libcurl sqlite3 libcrypto
SRC  = $(wildcard src/*.c)
B   ?= build

cflags_5.4    = $(shell $(PKG) --cflags lua5.4 $(LIBS))
cflags_luajit = $(shell $(PKG) --cflags luajit $(LIBS))

all: $(LUAS:%=$(B)/%/onemsg.so)

define build_one
$(B)/$(1)/%.o: src/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(STD) $$(CFLAGS) $$(cflags_$(1)) -MMD -MP -c $$< -o $$@
$(B)/$(1)/onemsg.so: $(SRC:src/%.c=$(B)/$(1)/%.o)
	$$(CC) -shared -pthread -Wl,-z,nodelete $$(SAN) $$(LDFLAGS) $$^ -o $$@ $$(shell $$(PKG) --libs $$(LIBS)) -lm
$(B)/$(1)/support/sys.so: spec/support/sys.c
	@mkdir -p $$(@D)
	$$(CC) $$(STD) $$(CFLAGS) $$(cflags_$(1)) -shared $$(LDFLAGS) $$< -o $$@
-include $(SRC:src/%.c=$(B)/$(1)/%.d)
endef
$(foreach lua,$(LUAS),$(eval $(call build_one,$(lua))))

clean:
	rm -rf build

.PHONY: all clean
