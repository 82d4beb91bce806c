/* emulated.cpp -- see emulated.h: fibers that take turns, barriers, and copies that come late. */
#include <setjmp.h>
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
};

__align__(16) thread_local uint8_t tile_memory[EMULATED_SHARED];
__align__(16) thread_local float q[EMULATED_SHARED / 4];      /* attend.cu calls its own so */

struct Copy { uint32_t to, barrier; std::vector<uint8_t> bytes; };

struct Fiber {
    ucontext_t begin;
    jmp_buf at;                /* once it has begun: switched without a system call */
    bool begun = false, done = false;
    Here here;
    std::vector<std::vector<Copy>> sent{1};      /* groups of copy_16(); the last is not sent yet */
};
struct Meeting { unsigned come = 0; uint64_t turn = 0; };
struct Warp : Meeting { Lanes given[2]; int stalls = 0; };
struct Counting { int arrivals, left; int64_t bytes; uint64_t turn; };      /* a barrier in shared memory */

struct Block {
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
static const std::function<void()> *body;
static std::mt19937_64 chance;

static void stop(const char *why)
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
static void go_on(Fiber *f)
{
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
            stop("waits for ever");
        pause_here();
    }
}

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

const Lanes &emulated_give(const uint32_t *words, int n)
{
    Warp *w = &block->warps[now->here.thread.x / 32];
    Lanes *given = &w->given[w->turn % 2];
    for (int i = 0; i < n; i++)
        given->of[now->here.thread.x % 32][i] = words[i];
    meet(w, 32);
    return *given;
}

/* ---- shared memory ---- */

unsigned emulated_address(const void *shared) { return (unsigned)((const uint8_t *)shared - tile_memory) + SHARED_AT; }
uint8_t *emulated_place(unsigned address, unsigned bytes)
{
    if (address < SHARED_AT || address - SHARED_AT + bytes > sizeof tile_memory || (bytes == 16 && address % 16))
        stop("an address that is outside of shared memory, or not aligned");
    return tile_memory + (address - SHARED_AT);
}

static Counting *counting(uint32_t barrier)
{
    auto found = block->barriers.find(barrier);
    if (found == block->barriers.end())
        stop("no barrier there");
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
        stop("one arrival too many");
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
    memcpy(tile_memory + (c.to - SHARED_AT), c.bytes.data(), c.bytes.size());
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
            memcpy(tile_memory + (c.to - SHARED_AT), c.bytes.data(), c.bytes.size());
        now->sent.erase(now->sent.begin());
    }
}

/* ---- the copy engine's maps ---- */

bool tensor_maps_here(void) { return true; }
bool tensor_map(CUtensorMap *map, const void *at, const MapShape *s)
{
    map->at = (const uint8_t *)at, map->dims = s->dims;
    bool fits = (uintptr_t)at % 16 == 0 && s->box[0] * 2 <= 128;
    for (int i = 0; i < s->dims; i++) {
        map->size[i] = s->size[i], map->step[i] = i == 0 ? 2 : s->step[i], map->box[i] = s->box[i];
        fits = fits && s->size[i] > 0 && s->box[i] > 0 && s->box[i] <= 256 && (i == 0 || s->step[i] % 16 == 0);
    }
    return fits;
}

/* Rows of 128 bytes, one behind the other, whose 16 bytes c lie at c ^ row within eight of them; zeros from outside. */
void emulated_box(unsigned to, const CUtensorMap *map, const int64_t *at, unsigned barrier)
{
    int rows = 1, row_bytes = map->box[0] * 2;
    for (int i = 1; i < map->dims; i++)
        rows *= map->box[i];
    if (row_bytes != 128 || (to & 0x3ff) != 0)
        stop("a box that is not swizzled as it is read");
    std::vector<uint8_t> bytes((size_t)(rows * row_bytes));
    for (int r = 0; r < rows; r++) {
        const uint8_t *from = map->at + at[0] * 2;
        bool inside = at[0] >= 0 && at[0] + map->box[0] <= map->size[0];
        for (int i = 1, left = r; i < map->dims; left /= map->box[i++]) {
            int64_t index = at[i] + left % map->box[i];
            inside = inside && index >= 0 && index < map->size[i];
            from += index * map->step[i];
        }
        for (int c = 0; c < 8 && inside; c++)
            memcpy(&bytes[(size_t)(r * 128 + (c ^ r % 8) * 16)], from + c * 16, 16);
    }
    emulated_come(barrier, to, bytes.data(), (unsigned)bytes.size());
}

/* ---- blocks of threads ---- */

static void begin_fiber()
{
    (*body)();
    now->done = true;
    block->alive--;
    pause_here();
}

static void run_block(dim3 grid, dim3 at, unsigned threads)
{
    static std::vector<std::unique_ptr<uint8_t[]>> stacks;
    Block b;
    block = &b;
    b.alive = threads;
    b.warps.resize(threads / 32);
    memset(tile_memory, 0xff, sizeof tile_memory);
    memset(q, 0xff, sizeof q);
    for (unsigned t = 0; t < threads; t++) {
        b.fibers.push_back(std::make_unique<Fiber>());
        Fiber *f = b.fibers.back().get();
        f->here = {grid, at, dim3(t), threads};
        if (t == stacks.size())
            stacks.emplace_back(new uint8_t[FIBER_BYTES]);
        getcontext(&f->begin);
        f->begin.uc_stack.ss_sp = stacks[t].get(), f->begin.uc_stack.ss_size = FIBER_BYTES, f->begin.uc_link = NULL;
        makecontext(&f->begin, begin_fiber, 0);
    }
    while (b.alive > 0) {
        for (Warp &w : b.warps)
            w.stalls = w.stalls > 0 ? w.stalls - 1 : chance() % STALLS_SELDOM == 0 ? (int)(chance() % STALLS_MOST) : 0;
        for (auto &f : b.fibers)
            if (!f->done && b.warps[f->here.thread.x / 32].stalls == 0)
                go_on(f.get());
        while (!b.coming.empty() && chance() % COMES_SELDOM == 0)
            copy_comes();
    }
    if (!b.coming.empty())
        stop("ended before all copies had come");
}

void emulate(dim3 grid, unsigned threads, const std::function<void()> &all)
{
    body = &all;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++)
                run_block(grid, dim3(x, y, z), threads);
}
