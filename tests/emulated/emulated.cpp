/* emulated.cpp -- see emulated.h: fibers that take turns, barriers, and copies that come late. */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "kernels/kit/tensor_map.h"

enum {
    FIBER_BYTES = 256 << 10, SHARED_AT = 0x430 /* an address that no tile is aligned to */, NAMED = 16,
    PATIENCE = 2000000 /* turns of a thread that waits */, COMES_SELDOM = 40, STALLS_SELDOM = 300, STALLS_MOST = 600,
    GUARDS_FIRST = 2, GUARDS_SELDOM = 32,
};

__align__(16) thread_local uint8_t tile_memory[EMULATED_SHARED];
__align__(16) thread_local float q[EMULATED_SHARED / 4], kept[EMULATED_SHARED / 4];      /* attend.cu, pairs.cu call theirs so */

struct Copy { uint32_t to, barrier; std::vector<uint8_t> bytes; };

struct Fiber {
    ucontext_t begin;
    jmp_buf at;                /* once it has begun: switched without a system call */
    bool begun = false, done = false, waited = false;      /* for the kernel before */
    Here here;
    std::vector<std::vector<Copy>> sent{1};      /* groups of copy_16(); the last is not sent yet */
    std::vector<std::vector<std::function<void()>>> later{1};      /* products likewise */
};
struct Meeting { unsigned come = 0; uint64_t turn = 0; };
struct Lane : Meeting { Lanes given[2]; };      /* of lanes that do something together */
struct Warp { std::map<unsigned, Lane> together; int stalls = 0; };
struct Counting { int arrivals, left; int64_t bytes; uint64_t turn; };      /* a barrier in shared memory */

struct Block {
    uint8_t *memory;           /* in the place of tile_memory: that itself, but in a cluster, which only names it */
    unsigned rank;
    bool guards;               /* the scratch, which takes long: some blocks do */
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Warp> warps;
    Meeting named[NAMED];
    std::map<uint32_t, Counting> barriers;
    std::vector<Copy> coming;
    unsigned alive;
};

static jmp_buf home;
static Fiber *now;
static Block *block;
static std::vector<std::unique_ptr<Block>> cluster;
static Meeting all_meet;
static const std::function<void()> *body;
static std::mt19937_64 chance;

void emulated_stop(const char *why)
{
    fprintf(stderr, "emulated: block %u, thread %u: %s\n", now->here.block.x, now->here.thread.x, why);
    abort();
}

const Here &emulated_here() { return now->here; }
void emulated_seed(uint64_t seed) { chance.seed(seed); }
static void pause_here()
{
    if (_setjmp(now->at) == 0)
        _longjmp(home, 1);
}

/* ---- the scratch ---- */

static uint8_t *scratch;
static size_t scratch_bytes;
static bool scratch_shut;

static void shut_scratch(bool shut)
{
    if (shut != scratch_shut && scratch)
        mprotect(scratch, scratch_bytes, shut ? PROT_NONE : PROT_READ | PROT_WRITE);
    scratch_shut = shut;
}
static void touched(int, siginfo_t *at, void *)
{
    bool early = (uint8_t *)at->si_addr >= scratch && (uint8_t *)at->si_addr < scratch + scratch_bytes && scratch_shut;
    signal(SIGSEGV, SIG_DFL);
    if (early)
        emulated_stop("touches the scratch before previous_ended()");
}
void *emulated_scratch(size_t bytes)
{
    enum { PAGE = 4096 };
    struct sigaction action = {};
    action.sa_sigaction = touched, action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, NULL);
    if (scratch)
        munmap(scratch, scratch_bytes);
    scratch_bytes = (bytes + PAGE) / PAGE * PAGE;
    scratch = (uint8_t *)mmap(NULL, scratch_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return scratch;
}
void emulated_previous_ended()
{
    now->waited = true;
    shut_scratch(false);
}

static void go_on(Fiber *f)
{
    shut_scratch(block->guards && !f->waited);
    now = f;
    if (_setjmp(home) != 0)
        return;
    if (f->begun)
        _longjmp(f->at, 1);
    f->begun = true;
    setcontext(&f->begin);
}

template <class Until> static void wait_until(Until until)
{
    for (int i = 0; !until(); i++) {
        if (i == PATIENCE)
            emulated_stop("waits for ever");
        pause_here();
    }
}

void emulated_until(const std::function<bool()> &until) { wait_until(until); }

static void meet(Meeting *m, unsigned threads)
{
    uint64_t turn = m->turn;
    if (++m->come >= threads)
        m->come = 0, m->turn++;
    else
        wait_until([=] { return m->turn != turn; });
}
void emulated_barrier(int number, unsigned threads) { meet(&block->named[number], threads); }
void __syncthreads() { meet(&block->named[0], block->alive); }

const Lanes &emulated_give(const uint32_t *words, int n, unsigned lanes)
{
    Lane *w = &block->warps[now->here.thread.x / 32].together[lanes];
    Lanes *given = &w->given[w->turn % 2];
    for (int i = 0; i < n; i++)
        given->of[now->here.thread.x % 32][i] = words[i];
    meet(w, (unsigned)__builtin_popcount(lanes));
    return *given;
}

/* ---- clusters ---- */

unsigned emulated_rank() { return block->rank; }
void emulated_in(unsigned rank, const std::function<void()> &what)
{
    Block *own = block;
    block = cluster[rank].get();
    if (block->alive == 0)
        emulated_stop("reaches a block of threads that has ended");
    what();
    block = own;
}
void emulated_cluster_meets()
{
    unsigned alive = 0;
    for (auto &b : cluster)
        alive += b->alive;
    meet(&all_meet, alive);
}

/* ---- products ---- */

void emulated_later(const std::function<void()> &what) { now->later.back().push_back(what); }
void emulated_later_sent() { now->later.emplace_back(); }
void emulated_later_wait(int left)
{
    while ((int)now->later.size() - 1 > left) {
        for (auto &what : now->later.front())
            what();
        now->later.erase(now->later.begin());
    }
}

/* ---- single instructions ---- */

int __dp4a(int a, int b, int sum)
{
    for (int i = 0; i < 32; i += 8)
        sum += (int8_t)(a >> i) * (int8_t)(b >> i);
    return sum;
}
unsigned __byte_perm(unsigned a, unsigned b, unsigned which)
{
    uint64_t both = (uint64_t)b << 32 | a;
    unsigned bytes = 0;
    for (int i = 0; i < 4; i++)
        bytes |= (unsigned)(both >> 8 * (which >> 4 * i & 7) & 0xff) << 8 * i;
    return bytes;
}

/* ---- shared memory ---- */

unsigned emulated_address(const void *shared) { return (unsigned)((const uint8_t *)shared - tile_memory) + SHARED_AT; }
uint8_t *emulated_place(unsigned address, unsigned bytes)
{
    if (address < SHARED_AT || address - SHARED_AT + bytes > sizeof tile_memory || (bytes == 16 && address % 16))
        emulated_stop("an address that is outside of shared memory, or not aligned");
    return block->memory + (address - SHARED_AT);
}

static Counting *counting(uint32_t barrier)
{
    auto found = block->barriers.find(barrier);
    if (found == block->barriers.end())
        emulated_stop("no barrier there");
    return &found->second;
}
static void settle(Counting *c)
{
    if (c->left == 0 && c->bytes == 0)
        c->left = c->arrivals, c->turn++;
}
void emulated_open(unsigned barrier, int arrivals) { block->barriers[barrier] = {arrivals, arrivals, 0, 0}; }
void emulated_arrive(unsigned barrier, int bytes)
{
    Counting *c = counting(barrier);
    if (c->left-- == 0)
        emulated_stop("one arrival too many");
    c->bytes += bytes;
    settle(c);
}
void emulated_wait(unsigned barrier, unsigned parity)
{
    Counting *c = counting(barrier);
    wait_until([=] { return (c->turn & 1) != parity; });
}

void emulated_come(unsigned barrier, unsigned to, const uint8_t *bytes, unsigned n)
{
    emulated_place(to, n);
    block->coming.push_back({to, barrier, std::vector<uint8_t>(bytes, bytes + n)});
}
static void copy_comes()
{
    size_t i = chance() % block->coming.size();
    Copy c = std::move(block->coming[i]);
    block->coming.erase(block->coming.begin() + (ptrdiff_t)i);
    memcpy(block->memory + (c.to - SHARED_AT), c.bytes.data(), c.bytes.size());
    Counting *b = &block->barriers.at(c.barrier);
    b->bytes -= (int64_t)c.bytes.size();
    settle(b);
}

void emulated_copy_16(unsigned to, const void *from, bool there)
{
    uint8_t bytes[16] = {};
    emulated_place(to, 16);
    if (there)
        memcpy(bytes, from, 16);
    now->sent.back().push_back({to, 0, std::vector<uint8_t>(bytes, bytes + 16)});
}
void emulated_copies_sent() { now->sent.emplace_back(); }
void emulated_copies_wait(int left)
{
    while ((int)now->sent.size() - 1 > left) {
        for (const Copy &c : now->sent.front())
            memcpy(block->memory + (c.to - SHARED_AT), c.bytes.data(), c.bytes.size());
        now->sent.erase(now->sent.begin());
    }
}

/* ---- the copy engine's maps ---- */

bool tensor_maps_here(void) { return true; }
bool tensor_map(CUtensorMap *map, const void *at, const MapShape *s)
{
    map->at = (const uint8_t *)at, map->dims = s->dims, map->swizzle = s->swizzle;
    bool fits = (uintptr_t)at % 16 == 0 && s->box[0] * 2 <= 128;
    for (int i = 0; i < s->dims; i++) {
        map->size[i] = s->size[i], map->step[i] = i == 0 ? 2 : s->step[i], map->box[i] = s->box[i];
        fits = fits && s->size[i] > 0 && s->box[i] > 0 && s->box[i] <= 256 && (i == 0 || s->step[i] % 16 == 0);
    }
    return fits;
}

/* Rows one behind the other, the 16 bytes c of those of 128 bytes at c ^ row within eight of them; zeros from outside. */
void emulated_box(unsigned to, const CUtensorMap *map, const int64_t *at, unsigned barrier)
{
    int rows = 1, row_bytes = map->box[0] * 2;
    for (int i = 1; i < map->dims; i++)
        rows *= map->box[i];
    if (map->swizzle ? row_bytes != map->swizzle || to % 1024 != 0 : row_bytes % 16 != 0 || to % 128 != 0)
        emulated_stop("a box that is not swizzled as it is read");
    std::vector<uint8_t> bytes((size_t)(rows * row_bytes));
    for (int r = 0; r < rows; r++) {
        const uint8_t *from = map->at + at[0] * 2;
        bool inside = at[0] >= 0;
        for (int i = 1, left = r; i < map->dims; left /= map->box[i++]) {
            int64_t index = at[i] + left % map->box[i];
            inside = inside && index >= 0 && index < map->size[i];
            from += index * map->step[i];
        }
        for (int c = 0; c < row_bytes / 16 && inside && at[0] + 8 * c < map->size[0]; c++)      /* whose rows are whole eights */
            memcpy(&bytes[(size_t)(r * row_bytes + (map->swizzle ? c ^ r * row_bytes / 128 % (row_bytes / 16) : c) * 16)],
                   from + c * 16, 16);
    }
    emulated_come(barrier, to, bytes.data(), (unsigned)bytes.size());
}

/* ---- blocks of threads ---- */

static void begin_fiber()
{
    (*body)();
    if (now->later.size() > 1 || !now->later[0].empty())
        emulated_stop("ended before all products were waited for");
    now->done = true;
    block->alive--;
    pause_here();
}

static std::unique_ptr<Block> new_block(dim3 grid, dim3 at, unsigned threads, uint8_t *memory)
{
    static std::vector<std::unique_ptr<uint8_t[]>> stacks;
    auto b = std::make_unique<Block>();
    size_t used = cluster.size() * threads;
    b->memory = memory, b->rank = (unsigned)cluster.size(), b->alive = threads;
    b->guards = at.x < GUARDS_FIRST || chance() % GUARDS_SELDOM == 0;
    b->warps.resize(threads / 32);
    memset(memory, 0xff, sizeof tile_memory);
    for (unsigned t = 0; t < threads; t++) {
        b->fibers.push_back(std::make_unique<Fiber>());
        Fiber *f = b->fibers.back().get();
        f->here = {grid, at, dim3(t), threads};
        if (used + t == stacks.size())
            stacks.emplace_back(new uint8_t[FIBER_BYTES]);
        getcontext(&f->begin);
        f->begin.uc_stack.ss_sp = stacks[used + t].get(), f->begin.uc_stack.ss_size = FIBER_BYTES, f->begin.uc_link = NULL;
        makecontext(&f->begin, begin_fiber, 0);
    }
    return b;
}

static void take_turns(Block *b)
{
    block = b;
    for (Warp &w : b->warps)
        w.stalls = w.stalls > 0 ? w.stalls - 1 : chance() % STALLS_SELDOM == 0 ? (int)(chance() % STALLS_MOST) : 0;
    for (auto &f : b->fibers)
        if (!f->done && b->warps[f->here.thread.x / 32].stalls == 0)
            go_on(f.get());
    while (!b->coming.empty() && chance() % COMES_SELDOM == 0)
        copy_comes();
}

static void run_cluster(dim3 grid, dim3 at, unsigned threads, unsigned blocks)
{
    static std::vector<std::vector<uint8_t>> memories;
    memories.resize(blocks);
    memset(q, 0xff, sizeof q);
    memset(kept, 0xff, sizeof kept);
    cluster.clear();
    all_meet = Meeting();
    for (unsigned i = 0; i < blocks; i++, at.x++) {
        memories[i].resize(blocks > 1 ? sizeof tile_memory : 0);
        cluster.push_back(new_block(grid, at, threads, blocks > 1 ? memories[i].data() : tile_memory));
    }
    for (unsigned alive = 1; alive > 0;) {
        alive = 0;
        for (auto &b : cluster) {
            take_turns(b.get());
            alive += b->alive;
        }
    }
    for (auto &b : cluster)
        if (!b->coming.empty())
            emulated_stop("ended before all copies had come");
    shut_scratch(false);
}

void emulate(dim3 grid, unsigned threads, unsigned blocks, const std::function<void()> &all)
{
    body = &all;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x += blocks)
                run_cluster(grid, dim3(x, y, z), threads, blocks);
}
