# ridge: everything is built from the directories; adding a file needs no edit here.
#
#   make            build/ridge, build/libridge.a, build/libridge.so
#   make demo       installs what is missing (apt), builds, and lets the default model answer
#   make check      the same, then all tests
#   make matrix     which operation is fast in which format on which tier
#   make help       the rest
BUILD   ?= build
ifeq ($(origin CC),default)
CC      := gcc
endif
OPT     ?= -O2
PREFIX  ?= /usr/local
VERSION := 0.1.0

# make V=1 shows the commands.
SAY   := @echo ' '
Q     := $(if $(V),,@)
comma := ,

PACKAGES  := libpcre2-8 libutf8proc jansson libmicrohttpd libedit
# Traces for a collector go through libcurl, where there is one.
CURL      := $(shell pkg-config --exists libcurl 2>/dev/null && echo libcurl)
PACKAGES  += $(CURL)
WARN      := -Wall -Wextra -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Werror=vla \
             -Werror=implicit-function-declaration -Werror=incompatible-pointer-types
PKG_FLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS  := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
# The library reads no lines from a terminal.
LIB_LIBS  := $(shell pkg-config --libs $(filter-out libedit,$(PACKAGES)) 2>/dev/null) -lm -pthread $(EXTRA_LIBS)
FLAGS     := -std=gnu17 -D_GNU_SOURCE $(OPT) $(WARN) -fPIC -pthread -ffp-contract=off -fno-math-errno \
             -fvisibility=hidden -Isrc -Iinclude -I$(BUILD)/gen -DRIDGE_VERSION='"$(VERSION)"' $(PKG_FLAGS) $(if $(CURL),-DRIDGE_CURL) $(EXTRA)
LIBS      := $(PKG_LIBS) -lm -pthread $(EXTRA_LIBS)

# Optional: libcurl, through which `ridge bench serve` asks servers.
CURL_FLAGS := $(shell pkg-config --exists libcurl 2>/dev/null && echo -DRIDGE_CURL $$(pkg-config --cflags libcurl))
LIBS       += $(if $(CURL_FLAGS),$(shell pkg-config --libs libcurl))
$(BUILD)/src/main/load_client.o: FLAGS += $(CURL_FLAGS)

# Searching for scales is what encoding takes; its lanes become vectors only here.
$(BUILD)/src/formats/quant_search.o $(BUILD)/src/formats/k_quant.o: FLAGS += $(if $(filter -O2,$(OPT)),-O3)

# A tier is an instruction set. *_cpu.c is built once for each.
TIER_OPT     ?= -O3
NEON         ?= armv8.2-a+dotprod      # armv8-a: for processors that have no dot product of bytes
ARCHITECTURE := $(shell $(CC) -dumpmachine | cut -d- -f1)
ifeq ($(ARCHITECTURE),x86_64)
TIERS := avx2 avx512 amx
endif
ifeq ($(ARCHITECTURE),aarch64)
TIERS := neon
FLAGS += -DNEON_HAS_DOT_PRODUCT=$(if $(findstring dotprod,$(NEON)),1,0)
endif
TIER_neon   := -march=$(NEON)
TIER_avx2   := -mavx2 -mfma -mf16c -mbmi2 -mprfchw
TIER_avx512 := $(TIER_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx512vbmi -mavx512bf16 -mprefer-vector-width=512
TIER_amx    := $(TIER_avx512) -DTIER_avx512=1 -mamx-tile -mamx-int8 -mamx-bf16   # AVX-512 with the processor's tiles: only products and attention are built again

# Optional: an NVIDIA GPU (docs/PERFORMANCE.md). Built where nvcc is found; make CUDA=0 leaves it out. The runtime library is
# linked in and opens the driver when it is asked for, so the program starts on machines without one. Built for this
# machine's GPU, without one for Hopper; for others too, and later ones: make CUDA_ARCHS="80 90a".
NVCC       ?= $(firstword $(wildcard $(CUDA_HOME)/bin/nvcc) $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_ROOT  := $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))
CUDART     := $(if $(NVCC),$(firstword $(wildcard $(CUDA_ROOT)/lib64/libcudart_static.a \
                                                  $(CUDA_ROOT)/targets/*/lib/libcudart_static.a)))
NVCC_KNOWS := $(if $(CUDART),$(shell $(NVCC) --help | grep -o -w -e sm_90a -e --compress-mode))
CUDA       ?= $(if $(filter sm_90a,$(NVCC_KNOWS)),1,0)
ifeq ($(CUDA),1)
GPU_HERE   := $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -E '^[0-9.]+$$' | tr -d .)
CUDA_ARCHS ?= $(or $(sort $(patsubst 90,90a,$(GPU_HERE))),90a)
CUDA_CODE  := $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=[sm_$(a)$(if $(filter %a,$(a)),,$(comma)compute_$(a))])
CUDA_LIBS  := $(CUDART)
CUDA_C     := -DRIDGE_CUDA -isystem $(CUDA_ROOT)/include
CU_O       := $(patsubst %.cu,$(BUILD)/%.cu.o,$(sort $(shell find src -name '*.cu')))
CU_FLAGS   := -std=c++17 -O3 -Isrc $(CUDA_CODE) -t0 \
              $(if $(filter --compress-mode,$(NVCC_KNOWS)),--compress-mode=size) \
              -Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions,-fno-threadsafe-statics
endif

ALL_C    := $(shell find src -name '*.c' | sort)
MAIN_C   := $(filter src/main/%,$(ALL_C))
TIERED_C := $(filter %_cpu.c,$(filter-out src/main/%,$(ALL_C)))
PLAIN_C  := $(filter-out $(TIERED_C) $(MAIN_C),$(ALL_C))
PRODUCT_C := $(shell grep -l -e '"kernels/linear/product.h"' -e '"kernels/attend/attend_near.h"' $(TIERED_C))
OF_TIER   = $(if $(filter amx,$(1)),$(PRODUCT_C),$(TIERED_C))
LIB_O    := $(PLAIN_C:%.c=$(BUILD)/%.o) $(foreach t,$(TIERS),$(patsubst %.c,$(BUILD)/%.$(t).o,$(call OF_TIER,$(t))))
LIB_O    += $(CU_O)
MAIN_O   := $(MAIN_C:%.c=$(BUILD)/%.o)
TEST_C   := $(sort $(wildcard tests/test_*.c))
TEST_SH  := $(sort $(wildcard tests/test_*.sh))      # of the programs, as a person runs them
TESTS    := $(TEST_C:tests/%.c=$(BUILD)/tests/%)
AID_C    := $(sort $(shell grep -L "^int main" tests/*.c))      # what several tests share
AID_O    := $(AID_C:%.c=$(BUILD)/%.o)
GEN      := $(BUILD)/gen/rooms.inc

.PHONY: all
all: $(BUILD)/ridge $(BUILD)/libridge.a $(BUILD)/libridge.so

# The lists of the open rooms, made from the directories: ARCH(llama) FORMAT(q8_0) WATCH(tally) ...
$(GEN): tools/rooms $(ALL_C)
	@mkdir -p $(@D)
	@tools/rooms > $@.new && (cmp -s $@.new $@ 2>/dev/null || mv $@.new $@); touch $@

# The page for people, as arrays in the program.
WEB     := $(sort $(wildcard web/*))
WEB_INC := $(BUILD)/gen/web.inc
$(WEB_INC): tools/embed $(WEB)
	@mkdir -p $(@D)
	@tools/embed $(WEB) > $@.new && mv $@.new $@
$(BUILD)/src/server/api_page.o: $(WEB_INC)

$(BUILD)/%.o: %.c | $(GEN)
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(FLAGS) -MMD -MP -c $< -o $@

# What knows of CUDA is built again when there is one, or none, or one for another GPU.
CUDA_C_O := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/devices/cuda/*.c) src/kernels/linear/lt.c)
$(CUDA_C_O): FLAGS += $(CUDA_C)
$(CUDA_C_O) $(CU_O): $(BUILD)/gen/cuda
.PHONY: always
$(BUILD)/gen/cuda: always
	@mkdir -p $(@D)
	@echo '$(CUDA) $(CUDA_CODE)' > $@.new && (cmp -s $@.new $@ || mv $@.new $@)
$(BUILD)/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(SAY) NVCC $@
	$(Q)$(NVCC_CACHE) $(NVCC) $(CU_FLAGS) -MMD -MP -MF $(BUILD)/$*.cu.d -c $< -o $@

define tier_rule
$(BUILD)/%.$(1).o: %.c | $(GEN)
	@mkdir -p $$(@D)
	$(SAY) CC $$@
	$(Q)$(CC) $(FLAGS) $(TIER_OPT) $(TIER_$(1)) -DTIER=$(1) -DTIER_$(1)=1 -MMD -MP -c $$< -o $$@
endef
$(foreach t,$(TIERS),$(eval $(call tier_rule,$(t))))

# One object in the archive: kernels are found by weak names, for which a linker takes nothing out of it.
$(BUILD)/ridge.o: $(LIB_O)
	$(SAY) LD $@
	$(Q)$(LD) -r -o $@ $^ $(CUDA_LIBS)
$(BUILD)/libridge.a: $(BUILD)/ridge.o
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/libridge.so: $(LIB_O)
	$(SAY) LD $@
	$(Q)$(CC) $(OPT) -shared -Wl,-soname,libridge.so.0 -Wl,--no-undefined -o $@ $^ $(CUDA_LIBS) $(LIB_LIBS)
	$(Q)ln -sf libridge.so $(BUILD)/libridge.so.0
$(BUILD)/ridge: $(MAIN_O) $(BUILD)/libridge.a
	$(SAY) LD $@
	$(Q)$(CC) $(OPT) -o $@ $^ $(LIBS)

# The command line without its main(), for tests.
$(BUILD)/main.a: $(filter-out %/main.o,$(MAIN_O))
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/tests/%: tests/%.c $(AID_O) $(BUILD)/main.a $(BUILD)/libridge.a
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(FLAGS) -Itests -MMD -MP $< -o $@ $(AID_O) $(BUILD)/main.a $(BUILD)/libridge.a -lcmocka $(LIBS)

# Programs that measure: not part of the checks.
NO_BENCH := $(if $(filter 1,$(CUDA)),,bench/gpu.c)
BENCHES  := $(patsubst bench/%.c,$(BUILD)/bench/%,$(filter-out $(NO_BENCH),$(sort $(wildcard bench/*.c))))
$(BUILD)/bench/%: bench/%.c $(BUILD)/libridge.a
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -MMD -MP $< -o $@ $(BUILD)/libridge.a $(LIBS)
.PHONY: bench
bench: $(BENCHES)

# Instructions per token against bench/results/instructions.json; a rise of more than 2 % must be found or accepted.
.PHONY: bench-gate
bench-gate: $(BUILD)/ridge
	@command -v valgrind >/dev/null || { echo "make bench-gate needs valgrind: apt-get install valgrind" >&2; exit 1; }
	@BUILD=$(BUILD) CC="$(CC)" bench/gate $(if $(NOTE),--accept "$(NOTE)")

# The simulation can replace these functions by faulty ones, to show that it would notice. The linker
# does so for calls from one object to another, so here the objects are linked one by one.
MUTABLE := block_pool_own block_pool_give block_pool_share prefix_index_find prefix_index_make kv_group_first \
           kv_cache_commit kv_cache_copy kv_cache_drop kv_cache_extend kv_cache_fork kv_cache_match kv_cache_state \
           kv_states_start scheduler_accept waiting_too_long request_room request_deadline request_take_stop \
           sampler_sample engine_heed tenants_serve
$(BUILD)/tests/test_engine_sim: tests/test_engine_sim.c $(LIB_O)
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(FLAGS) -Itests -MMD -MP $< -o $@ $(LIB_O) $(MUTABLE:%=-Wl,--wrap=%) -lcmocka $(CUDA_LIBS) $(LIBS)

# make sim SEED=n: one random world of the simulation, step by step. make sim SEED=n WORLDS=m: many, quietly.
SEED ?= 1
.PHONY: sim
sim: $(BUILD)/tests/test_engine_sim
	@$< $(SEED) $(WORLDS)

# The examples are built as a user would: with the public header and the library only.
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
$(BUILD)/examples/%: examples/%.c $(BUILD)/libridge.so include/ridge.h
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) -std=c17 -Wall -Wextra $(EXTRA) -Iinclude $< -o $@ -L$(BUILD) -lridge -Wl,-rpath,'$$ORIGIN/..' -Wl,-rpath-link,$(BUILD)

.PHONY: help
help:
	@printf '%s\n' \
	  'make               build/ridge, build/libridge.a, build/libridge.so' \
	  'make demo          set-up, build, and the default model answers       QUESTION="..."' \
	  'make check         set-up, build, all tests: under a minute' \
	  'make check-parity  every family against the logits of transformers' \
	  'make check-model   trained models against their measured losses and answers (minutes)' \
	  'make check-gpu     the kernels of the GPU against the reference, all families on it' \
	  'make check-cuda    the kernels of the GPU compile, for all that can run them: without one' \
	  'make check-load    a bad day of the server: all kinds of requests at once   N=10000' \
	  'make sim           random schedules of the engine from a seed          SEED=1 STEPS=...' \
	  'make matrix        which operation is fast in which format on which tier' \
	  'make sanitize      all tests under address and undefined sanitizers' \
	  'make sanitize-thread   all tests under the thread sanitizer' \
	  'make fuzz T=gguf   one fuzzer for SECONDS=20; fuzz-all: each of them' \
	  'make check-server  the server, as its clients meet it' \
	  'make check-neon    the kernels of 64-bit Arm, by a cross compiler and qemu' \
  'make tidy          the rules of the house' \
	  'make bench         the programs that measure, in build/bench' \
	  'make bench-gate    instructions per token: fails where they rose      NOTE="why" accepts it' \
	  'make install       PREFIX=/usr/local DESTDIR=' \
	  'make clean'
.PHONY: setup tests check
setup:
	@tools/setup
tests: $(TESTS)
# The set-up may install what the flags above were computed without, so the rest runs in a second make.
check:
	@tools/setup
	@$(MAKE) --no-print-directory check-built
.PHONY: check-built run-tests tidy
check-built: tidy run-tests
run-tests: all tests $(EXAMPLES)
	@BUILD=$(BUILD) tests/run $(TESTS) $(TEST_SH)

tidy:
	@tools/tidy

# Every family against the logits of Hugging Face transformers: the carried fixtures, or all of ../shared.
.PHONY: check-parity
SHARED_HF := $(wildcard $(or $(RIDGE_SHARED),../shared)/fixtures/hf)
check-parity: $(BUILD)/tests/parity
	@[ -n "$(SHARED_HF)" ] || echo "NOT TESTED: ../shared/fixtures/hf is absent, only the carried families are tested"
	@$< $(patsubst %/config.json,%,$(wildcard $(or $(SHARED_HF),tests/fixtures/hf)/*/config.json))

# The kernels of the GPU against the reference, every family on the GPU against the logits of transformers.
.PHONY: check-gpu
check-gpu: $(BUILD)/tests/check_gpu $(BUILD)/tests/parity
	@$(BUILD)/tests/check_gpu
	@$(BUILD)/tests/check_gpu --same
	@$(BUILD)/tests/check_gpu --products bf16 linear linear3 gated_mlp expert_linear attend
	@$(BUILD)/tests/parity --gpu $(patsubst %/config.json,%,$(wildcard $(or $(SHARED_HF),tests/fixtures/hf)/*/config.json))

# The kernels of the GPU compile for Ampere and what follows it, and for Hopper, on a machine that needs neither a GPU nor nvcc.
.PHONY: check-cuda cu-objects
cu-objects: $(CU_O)
check-cuda:
	+@if nvcc=$$(tools/nvcc); then \
	    $(MAKE) --no-print-directory NVCC="$$nvcc" CUDA=1 CUDA_ARCHS="80 90a" BUILD=$(BUILD)/cuda cu-objects && \
	    echo "$$(find src -name '*.cu' | wc -l) .cu files compile for sm_80 and sm_90a"; \
	else echo "NOT COMPILED: the kernels of the GPU, for there is no nvcc"; fi

# The GPU's attention and Hopper's products by threads of this machine's processor (tests/emulated/emulated.h): what no GPU is needed to find. Where the
# library has it too, compiled for a GPU, the first is taken.
EMULATED   := $(patsubst %,$(BUILD)/emulated/%.o,emulated beside_attend attend attend_few attend_flow attend_group attend_prompt \
                  beside_linear hopper hopper_near hopper_exact hopper_gate hopper_blocks hopper_pairs hopper_many pairs hopper_experts \
                  beside_scratch parts linear3 gated_mlp planes)
EMULATED_H := $(shell find tests/emulated -name '*.h')
CXX_FLAGS   = -std=c++17 -O2 -fno-extern-tls-init -Wno-unknown-pragmas -D__CUDACC__ -include tests/emulated/emulated.h \
              -Itests/emulated -Isrc -Iinclude -MMD -MP
$(BUILD)/emulated/%.o: src/kernels/attend/%.cu $(EMULATED_H)
	@mkdir -p $(@D)
	$(SAY) CXX $@
	$(Q)$(CXX) $(CXX_FLAGS) -x c++ -c $< -o $@
define EMULATED_FROM
$(BUILD)/emulated/%.o: src/$(1)/%.cu $(EMULATED_H)
	@mkdir -p $$(@D)
	$(SAY) CXX $$@
	$(Q)$(CXX) $(CXX_FLAGS) -D__CUDA_ARCH_FEAT_SM90_ALL -x c++ -c $$< -o $$@
endef
$(foreach from,formats kernels/linear kernels/expert_linear kernels/linear3 kernels/gated_mlp,$(eval $(call EMULATED_FROM,$(from))))
$(BUILD)/emulated/%.o: tests/emulated/%.cpp $(EMULATED_H)
	@mkdir -p $(@D)
	$(SAY) CXX $@
	$(Q)$(CXX) $(CXX_FLAGS) -c $< -o $@
$(BUILD)/tests/check_emulated: tests/check_emulated.c $(EMULATED) $(AID_O) $(BUILD)/main.a $(BUILD)/libridge.a
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(FLAGS) -Itests -MMD -MP -c $< -o $@.o
	$(Q)$(CXX) -Wl,--allow-multiple-definition -o $@ $@.o $(EMULATED) $(AID_O) $(BUILD)/main.a $(BUILD)/libridge.a -lcmocka $(LIBS)
.PHONY: check-emulated
check-emulated:
	+@if command -v $(CXX) >/dev/null; then $(MAKE) --no-print-directory $(BUILD)/tests/check_emulated && $(BUILD)/tests/check_emulated; \
	else echo "NOT TESTED: the kernels of the GPU by threads of the processor, for there is no $(CXX)"; fi

# The trained models of ../shared against what their training program measured: some minutes.
.PHONY: check-model
MODELS ?= base draft mha gqa mqa mla cla swa hybrid linear
check-model: $(BUILD)/ridge $(BUILD)/tests/models
	@if [ -d "$(or $(RIDGE_SHARED),../shared)/models" ]; then \
	    $(BUILD)/tests/models $(BUILD)/ridge $(or $(RIDGE_SHARED),../shared) $(MODELS); \
	else echo "NOT TESTED: ../shared/models is absent"; fi

# The server as its clients meet it: curl, raw sockets, and the clients that are installed.
.PHONY: check-server
# test_openai.py goes through pytest: by test_openai.sh
SERVER_TESTS := $(BUILD)/tests/test_server_core $(sort $(wildcard tests/test_serve*.sh tests/server/test_*.sh) \
                $(filter-out %/test_openai.py,$(wildcard tests/server/test_*.py)))
check-server: $(BUILD)/ridge $(BUILD)/tests/test_server_core
	@tests/server/clients $(BUILD)/clients
	@PATH="$(abspath $(BUILD))/clients/bin:$$PATH" BUILD=$(BUILD) TEST_SECONDS=600 tests/run $(SERVER_TESTS)

# A bad day of a server: N requests of all kinds at once, malformed and cancelled ones among them, to a server that
# this starts. CI takes N=500; N=10000 takes minutes. -thread: the same under the thread sanitizer. The cache is small,
# so that pasts are evicted and sequences interrupted, and soon full, so that memory can be watched.
.PHONY: check-load check-load-thread
N    ?= 10000
LOAD ?=
LOAD_SERVER = $(BUILD)/ridge serve --cache-tokens 8192 --idle-seconds 3600
check-load: $(BUILD)/ridge
	@command -v python3 >/dev/null || { echo "make check-load needs python3" >&2; exit 1; }
	@tests/load/abuse.py --server '$(LOAD_SERVER)' --log $(BUILD)/load.log --requests $(N) $(LOAD) || \
	  { echo "what the server said is in $(BUILD)/load.log" >&2; exit 1; }
check-load-thread:
	+@$(MAKE) --no-print-directory CUDA=0 BUILD=$(BUILD)/sanitize-thread OPT="-O1 -g" TIER_OPT=-fno-sanitize=all EXTRA=-fsanitize=thread \
	  EXTRA_LIBS=-fsanitize=thread N=$(N) LOAD="--no-memory --patience 300 $(LOAD)" check-load

# The NEON tier on a processor of another kind: cross compiled, and run by qemu: minutes. What no server and no command line
# is in needs four libraries only; ARM_ROOT= is where they were unpacked, if not into the system. The C library must be the
# loader's own, that of the cross compiler: with another one, threads begin and never run. Whole models go through six
# families, one of each kind; NEON_FAMILIES='*' takes all that are carried.
.PHONY: check-neon neon-tests
NEON_FAMILIES ?= {mistral,gemma3_text,mixtral,deepseek_v3,mamba,rwkv}
NEON_TESTS := test_kernels test_kernels_attend test_kernels_state test_linear test_invariance
ARM_ROOT   ?=
ARM_LIB    := /usr/lib/aarch64-linux-gnu
QEMU       := qemu-aarch64-static -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib:$(ARM_ROOT)$(ARM_LIB)
$(BUILD)/neon-tests/%: tests/%.c $(filter-out $(BUILD)/src/server/% $(BUILD)/src/tools/%,$(LIB_O)) \
                      $(patsubst %,$(BUILD)/tests/kernel_case%.o,s s_state _error)
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(FLAGS) -Itests $^ -o $@ -lcmocka $(LIBS)
neon-tests: $(NEON_TESTS:%=$(BUILD)/neon-tests/%)
check-neon: $(BUILD)/tests/test_kernels
	@command -v aarch64-linux-gnu-gcc qemu-aarch64-static >/dev/null && [ -e $(ARM_ROOT)$(ARM_LIB)/libcmocka.so ] || { \
	  echo "make check-neon needs a cross compiler, qemu, and libraries of that processor:"; \
	  echo "  apt-get install gcc-aarch64-linux-gnu qemu-user-static; dpkg --add-architecture arm64; apt-get update"; \
	  echo "  apt-get install libpcre2-dev:arm64 libutf8proc-dev:arm64 libjansson-dev:arm64 libcmocka-dev:arm64"; \
	  echo "or, for the last, apt-get download those and the libraries themselves, dpkg -x each to DIR, and ARM_ROOT=DIR"; exit 1; } >&2
	+@$(MAKE) --no-print-directory CC="$(CROSS_CC)" BUILD=$(BUILD)/neon CURL= PKG_FLAGS= CURL_FLAGS= \
	  PKG_LIBS="-L$(ARM_ROOT)$(ARM_LIB) -Wl,-rpath-link,$(ARM_ROOT)$(ARM_LIB) -lpcre2-8 -lutf8proc -ljansson" \
	  EXTRA="$(if $(ARM_ROOT),-I$(ARM_ROOT)/usr/include -L$(ARM_ROOT)$(ARM_LIB))" neon-tests
	@$(BUILD)/tests/test_kernels digest > $(BUILD)/kernels.here
	@$(QEMU) $(BUILD)/neon/neon-tests/test_kernels digest > $(BUILD)/kernels.neon
	@diff $(BUILD)/kernels.here $(BUILD)/kernels.neon && echo "NEON gives the bits of this processor's best tier in all kernels"
	@for test in $(NEON_TESTS); do echo "$$test"; FAMILIES='$(NEON_FAMILIES)' $(QEMU) $(BUILD)/neon/neon-tests/$$test || exit 1; done
CROSS_CC ?= aarch64-linux-gnu-gcc

.PHONY: matrix
matrix: $(BUILD)/tests/matrix
	@$<

# The same tests, watched for what the compiler's sanitizers see; each in a build of its own. Kernels at
# -O1: what -O3 unrolls takes the sanitizers minutes a file.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
WATCHED   = TEST_SECONDS=600 $(MAKE) CUDA=0 --no-print-directory BUILD=$(BUILD)/$@ OPT="-O1 -g" TIER_OPT= EXTRA="$(1)" EXTRA_LIBS="$(1)" run-tests
.PHONY: sanitize sanitize-thread
sanitize:
	+@$(call WATCHED,$(SANITIZE))
sanitize-thread:
	+@$(call WATCHED,-fsanitize=thread)

# make fuzz T=gguf: tests/fuzz/fuzz_gguf.c for SECONDS, from the seeds in tests/fuzz/corpus/gguf/ and what
# earlier runs found. What crashes, hangs or takes too much memory is kept as build/fuzz/gguf-crash-...
FUZZ     := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
SECONDS  ?= 20
FUZZ_RUN := -timeout=10 -rss_limit_mb=1536 -malloc_limit_mb=512 -verbosity=0 -print_final_stats=1
$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/main.a $(BUILD)/libridge.a
	$(CC) $(FLAGS) -fsanitize=fuzzer -MMD -MP $< -o $@ $(BUILD)/main.a $(BUILD)/libridge.a $(LIBS)
.PHONY: fuzz fuzz-all
fuzz:
	@command -v clang >/dev/null || { echo "make fuzz needs clang, which brings libFuzzer: apt-get install clang" >&2; exit 1; }
	@[ -f "tests/fuzz/fuzz_$(T).c" ] || { echo "make fuzz T=<target> [SECONDS=20]; the targets: $(FUZZ)" >&2; exit 1; }
	@$(MAKE) --no-print-directory CUDA=0 CC=clang BUILD=$(BUILD)/fuzz OPT="-O1 -g" TIER_OPT=-fno-sanitize=all \
	  EXTRA="$(SANITIZE) -fsanitize=fuzzer-no-link" $(BUILD)/fuzz/fuzz_$(T)
	@mkdir -p $(BUILD)/fuzz/corpus/$(T) tests/fuzz/corpus/$(T)
	$(BUILD)/fuzz/fuzz_$(T) $(FUZZ_RUN) -max_total_time=$(SECONDS) -artifact_prefix=$(BUILD)/fuzz/$(T)- \
	  $(BUILD)/fuzz/corpus/$(T) tests/fuzz/corpus/$(T)
fuzz-all:
	@for target in $(FUZZ); do $(MAKE) --no-print-directory fuzz T=$$target SECONDS=$(SECONDS) || exit 1; done

# ---- for people ----

.PHONY: demo
demo:
	@tools/setup
	@$(MAKE) --no-print-directory demo-built
.PHONY: demo-built
QUESTION ?= What is the capital of France?
demo-built: $(BUILD)/ridge
	@echo; echo "> $(QUESTION)"
	@echo "$(QUESTION)" | $(BUILD)/ridge chat
	@echo; echo "> (the beginning of a story, continued)"
	@$(BUILD)/ridge run -p 'Once upon a time' -n 60 --temperature 0.7 --seed 3

# A page for each command, from the same tables as --help.
COMMANDS := $(sort $(patsubst src/main/cmd_%.c,%,$(wildcard src/main/cmd_*.c)))
.PHONY: man
man: $(BUILD)/ridge
	@mkdir -p $(BUILD)/man
	@$(BUILD)/ridge help --man > $(BUILD)/man/ridge.1
	@for command in $(COMMANDS); do $(BUILD)/ridge help --man $$command > $(BUILD)/man/ridge-$$command.1 || exit 1; done

$(BUILD)/ridge.pc: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: ridge' \
	  'Description: runs language models' 'Version: $(VERSION)' 'Libs: -L$${libdir} -lridge' \
	  'Libs.private: $(LIB_LIBS)' 'Cflags: -I$${includedir}' > $@

.PHONY: install uninstall
install: all man $(BUILD)/ridge.pc
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include \
	  $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/ridge/models \
	  $(DESTDIR)$(PREFIX)/share/ridge/shapes $(DESTDIR)$(PREFIX)/share/ridge/machines
	install -m 755 $(BUILD)/ridge $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(BUILD)/libridge.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/libridge.so $(DESTDIR)$(PREFIX)/lib/libridge.so.$(VERSION)
	ln -sf libridge.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libridge.so.0
	ln -sf libridge.so.0 $(DESTDIR)$(PREFIX)/lib/libridge.so
	install -m 644 $(BUILD)/ridge.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	install -m 644 include/ridge.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(BUILD)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 models/* $(DESTDIR)$(PREFIX)/share/ridge/models/
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,@PREFIX@,$(PREFIX),' share/ridge.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/ridge.service
	install -m 644 share/shapes/*.json $(DESTDIR)$(PREFIX)/share/ridge/shapes/
	install -m 644 share/machines/*.json $(DESTDIR)$(PREFIX)/share/ridge/machines/
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/ridge $(DESTDIR)$(PREFIX)/lib/libridge.* $(DESTDIR)$(PREFIX)/lib/pkgconfig/ridge.pc \
	  $(DESTDIR)$(PREFIX)/lib/systemd/system/ridge.service \
	  $(DESTDIR)$(PREFIX)/include/ridge.h $(DESTDIR)$(PREFIX)/share/man/man1/ridge.1 \
	  $(DESTDIR)$(PREFIX)/share/man/man1/ridge-*.1
	rm -rf $(DESTDIR)$(PREFIX)/share/ridge

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(EMULATED:.o=.d) $(LIB_O:.o=.d) $(MAIN_O:.o=.d) $(AID_O:.o=.d) $(TESTS:%=%.d) $(BENCHES:%=%.d) $(BUILD)/tests/matrix.d \
         $(wildcard $(BUILD)/fuzz_*.d)
