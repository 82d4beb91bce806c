/* The second home of the cache: a restart finds what was computed before, bit for bit; nothing that is damaged,
 * another's or another model's is ever taken for it; the directory stays as small as asked for. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/identity.h"
#include "small_model.h"

enum { PROMPT = 90, NEW_TOKENS = 12, VOCABULARY = 320, BLOCK = 8 };

static char directory[64];

typedef struct World {
    SmallModel of;
    Engine *engine;
    int32_t prompt[PROMPT];
} World;

typedef struct Answer {
    int32_t token[NEW_TOKENS], count, reused;
    float last[VOCABULARY];      /* the logits after the prompt */
} Answer;

static EngineOptions usual(void)
{
    EngineOptions o = engine_options_default();
    o.sequences = o.logit_rows = 4;
    o.rows = 32;
    o.block_tokens = BLOCK;
    o.context = 128;
    o.state_interval = 16;
    o.files = (KvFilesOptions){.directory = directory, .model = "one"};
    return o;
}

static void open_world(World *w, const char *family, EngineOptions o)
{
    small_model_open(&w->of, family, o);
    w->engine = w->of.engine;
    for (int i = 0; i < PROMPT; i++)
        w->prompt[i] = (i * 37 + i * i * 11) % VOCABULARY;
}

static Request *submit(World *w, uint64_t salt, float *last)
{
    Error err;
    Request *r;
    RequestOptions o = {.prompt = w->prompt, .prompt_count = PROMPT, .max_tokens = NEW_TOKENS, .salt = salt,
                        .sampling = sampler_options_greedy(), .logits = last, .score_from = PROMPT - 1};
    must_be_ok(engine_submit(w->engine, &o, &r, &err), &err);
    return r;
}

static Answer ask(World *w, uint64_t salt)
{
    Error err;
    Event event;
    Answer a = {0};
    Request *r = submit(w, salt, a.last);
    while (engine_step(w->engine)) {
        must_be_ok(engine_audit(w->engine, &err), &err);
        while (request_next(r, &event))
            if (event.kind == EVENT_TOKEN)
                a.token[a.count++] = event.token.id;
            else
                a.reused = event.times.reused_tokens;
    }
    assert_true(request_ended(r));
    request_close(r);
    return a;
}

static Answer ask_anew(const char *family, EngineOptions o, uint64_t salt, KvFilesStats *stats)
{
    World w;
    open_world(&w, family, o);
    Answer a = ask(&w, salt);
    if (stats)
        *stats = engine_files(w.engine);
    small_model_close(&w.of);
    return a;
}

static void same(const Answer *a, const Answer *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->token, b->token, sizeof a->token);
    assert_memory_equal(a->last, b->last, sizeof a->last);
}

/* --- the directory --- */

static void each_file(void (*act)(const char *path, void *with), void *with)
{
    DIR *d = opendir(directory);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", directory, e->d_name);
        if (e->d_name[0] != '.')
            act(path, with);
    }
    if (d)
        closedir(d);
}

static void remove_it(const char *path, void *with)
{
    (void)with;
    unlink(path);
}

static bool is_block(const char *path) { return strstr(path, ".kv") != NULL; }

static void add_bytes(const char *path, void *with)
{
    struct stat info;
    if (is_block(path) && stat(path, &info) == 0)
        *(int64_t *)with += info.st_size;
}

static int make_directory(void **state)
{
    (void)state;
    bool memory = access("/dev/shm", W_OK) == 0;   /* a disk that really writes costs seconds */
    snprintf(directory, sizeof directory, "%s/ridge-files-XXXXXX", memory ? "/dev/shm" : "/tmp");
    return mkdtemp(directory) ? 0 : -1;
}

static int empty_directory(void **state)
{
    (void)state;
    each_file(remove_it, NULL);
    return 0;
}

static int remove_directory(void **state)
{
    empty_directory(state);
    return rmdir(directory);
}

/* --- what is promised --- */

static void a_restart_finds_the_same_bits(void **state)
{
    static const char *const families[] = {"llama", "mistral", "gemma3n_text", "mamba2", "zamba2", "deepseek_v3", "hunyuan_cla"};
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        KvFilesStats stats;
        EngineOptions none = usual();
        none.files.directory = NULL;
        Answer plain = ask_anew(families[i], none, 0, NULL);
        Answer first = ask_anew(families[i], usual(), 0, &stats), again = ask_anew(families[i], usual(), 0, &stats);
        same(&first, &plain);
        same(&again, &plain);
        assert_int_equal(first.reused, 0);
        assert_true(again.reused >= PROMPT / 16 * 16);
        assert_true(stats.read > 0 && stats.refused == 0);
        empty_directory(state);
    }
}

/* Blocks in 8 bits are files like any other, and never taken for those of another format. */
static void every_format_has_files_of_its_own(void **state)
{
    (void)state;
    static const char *const formats[] = {"F16", "F8_E4M3", "Q8_0"};
    Answer first[COUNT_OF(formats)];
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < COUNT_OF(formats); i++) {
            EngineOptions o = usual();
            o.cache_format = format_find(formats[i]);
            Answer a = ask_anew("llama_mqa", o, 0, NULL);
            assert_int_equal(a.reused, turn ? (PROMPT - 1) / BLOCK * BLOCK : 0);
            if (turn)
                same(&a, &first[i]);
            first[i] = a;
        }
}

static void an_evicted_past_comes_back_too(void **state)
{
    (void)state;
    World w;
    EngineOptions o = usual();
    o.cache_tokens = 128;
    open_world(&w, "mistral", o);
    Answer first = ask(&w, 0), other = ask(&w, 9);   /* another salt: there is room for one of them only */
    while (engine_files(w.engine).written < 2 * (PROMPT / BLOCK))
        usleep(1000);
    Answer again = ask(&w, 0);
    same(&first, &other);
    same(&first, &again);
    assert_int_equal(again.reused, (PROMPT - 1) / BLOCK * BLOCK);
    assert_true(engine_files(w.engine).read > 0);
    small_model_close(&w.of);
}

static void little_staging_memory_takes_several_turns(void **state)
{
    (void)state;
    EngineOptions o = usual();
    ask_anew("mistral", o, 0, NULL);
    o.files.staging_bytes = 1;   /* a block each way */
    Answer again = ask_anew("mistral", o, 0, NULL);
    assert_int_equal(again.reused, (PROMPT - 1) / BLOCK * BLOCK);
}

static void tenants_and_models_stay_apart(void **state)
{
    (void)state;
    EngineOptions o = usual(), other_model = usual(), other_blocks = usual();
    other_model.files.model = "two";
    other_blocks.block_tokens = 4;
    Answer first = ask_anew("llama", o, 7, NULL);
    assert_int_equal(ask_anew("llama", other_model, 7, NULL).reused, 0);
    assert_int_equal(ask_anew("llama", other_blocks, 7, NULL).reused, 0);
    assert_int_equal(ask_anew("llama", o, 8, NULL).reused, 0);
    Answer again = ask_anew("llama", o, 7, NULL);
    assert_true(again.reused > 0);
    same(&first, &again);
}

static void nobody_shares_a_directory(void **state)
{
    (void)state;
    World w;
    Engine *second;
    Error err;
    EngineOptions o = usual();
    open_world(&w, "llama", o);
    EngineModel model = engine_model(w.of.model);
    assert_int_equal(engine_new(&second, &o, &model, w.of.device, &err), LIMIT_REACHED);
    assert_non_null(strstr(err.text, directory));
    small_model_close(&w.of);
}

typedef struct Damage {
    int turn;
    size_t at;
} Damage;

static void damage(const char *path, void *with)
{
    Damage *d = with;
    struct stat info;
    uint8_t byte;
    if (!is_block(path) || stat(path, &info) != 0 || info.st_size == 0)
        return;
    int fd = open(path, O_RDWR);
    size_t at = d->at % (size_t)info.st_size;
    if (d->turn == 0) {          /* cut short */
        assert_int_equal(ftruncate(fd, (off_t)at), 0);
    } else {                     /* one bit is wrong */
        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        byte ^= (uint8_t)(1 << d->at % 8);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    }
    close(fd);
}

static void what_is_damaged_is_told_from_what_is_good(void **state)
{
    Answer good = ask_anew("mistral", usual(), 0, NULL);
    static const size_t places[] = {0, 9, 17, 60, 98, 110, 1000};
    for (size_t i = 0; i < 2 * COUNT_OF(places); i++) {
        Damage d = {(int)(i % 2), places[i / 2]};
        KvFilesStats stats;
        each_file(damage, &d);
        Answer again = ask_anew("mistral", usual(), 0, &stats);   /* also writes them anew */
        same(&good, &again);
        assert_int_equal(again.reused, 0);
        assert_true(stats.refused > 0);
        assert_non_null(strstr(stats.problem, directory));
    }
    KvFilesStats stats;
    assert_true(ask_anew("mistral", usual(), 0, &stats).reused > 0);
    assert_int_equal(stats.refused, 0);
    empty_directory(state);
}

static void strangers_files_are_left_alone(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/notes.txt", directory);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("mine", f);
    fclose(f);
    ask_anew("llama", usual(), 0, NULL);
    assert_int_equal(access(path, F_OK), 0);
}

static void the_directory_stays_as_small_as_asked_for(void **state)
{
    (void)state;
    World w;
    EngineOptions o = usual();
    KvFilesStats stats;
    ask_anew("llama", o, 0, &stats);
    int64_t all = 0, now = 0;
    each_file(add_bytes, &all);
    o.files.bytes_max = 2 * all;
    open_world(&w, "llama", o);
    for (uint64_t salt = 1; salt < 6; salt++)
        ask(&w, salt);
    stats = engine_files(w.engine);
    assert_true(stats.bytes <= o.files.bytes_max);
    small_model_close(&w.of);
    each_file(add_bytes, &now);
    assert_true(now > 0 && now <= o.files.bytes_max);
    assert_int_equal(ask_anew("llama", o, 0, &stats).reused, 0);   /* the oldest is gone, ... */
    assert_true(ask_anew("llama", o, 5, &stats).reused > 0);       /* ... the newest is not */
    o.files.bytes_max = all / 2;
    ask_anew("llama", o, 5, &stats);
    now = 0;
    each_file(add_bytes, &now);
    assert_true(now <= o.files.bytes_max);
    o.files.bytes_max = 100;
    Error err;
    Engine *none;
    EngineOptions without = usual();
    without.files.directory = NULL;
    open_world(&w, "llama", without);
    EngineModel model = engine_model(w.of.model);
    assert_int_equal(engine_new(&none, &o, &model, w.of.device, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "100 bytes"));
    small_model_close(&w.of);
}

static void whoever_waits_for_files_can_go_away(void **state)
{
    (void)state;
    World w;
    Error err;
    ask_anew("mistral", usual(), 0, NULL);
    open_world(&w, "mistral", usual());
    for (int i = 0; i < 20; i++) {
        Request *a = submit(&w, 0, NULL), *b = submit(&w, 0, NULL);
        if (i % 2)
            engine_step(w.engine);
        request_close(a);
        must_be_ok(engine_audit(w.engine, &err), &err);
        Event event;
        while (engine_step(w.engine))
            while (request_next(b, &event))
                ;
        assert_true(request_ended(b));
        request_close(b);
        must_be_ok(engine_audit(w.engine, &err), &err);
    }
    small_model_close(&w.of);
}

/* SHA-256 against the examples of FIPS 180-4, and in pieces. */
static void names_are_sha256(void **state)
{
    (void)state;
    static const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf}, none[4] = {0xe3, 0xb0, 0xc4, 0x42}, million[4] = {0xcd, 0xc7, 0x6e, 0x5c};
    Sha256 h = sha256_begin();
    sha256_put(&h, "abc", 3);
    Digest d = sha256_end(&h);
    assert_memory_equal(d.byte, abc, 4);
    h = sha256_begin();
    d = sha256_end(&h);
    assert_memory_equal(d.byte, none, 4);
    h = sha256_begin();
    char letters[1000];
    memset(letters, 'a', sizeof letters);
    for (size_t i = 0, n = 1; i < 1000000; i += n, n = n % 999 + 1)
        sha256_put(&h, letters, n = n < 1000000 - i ? n : 1000000 - i);
    d = sha256_end(&h);
    assert_memory_equal(d.byte, million, 4);
}

static void a_checkpoint_is_told_from_others(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "llama_mqa", "llama", "mistral"};
    char id[4][IDENTITY_BYTES];
    for (int i = 0; i < 4; i++) {
        Checkpoint c;
        Error err;
        char folder[128];
        snprintf(folder, sizeof folder, "tests/fixtures/hf/%s", families[i]);
        must_be_ok(checkpoint_open(&c, folder, &err), &err);
        must_be_ok(checkpoint_identity(&c, id[i], &err), &err);
        checkpoint_close(&c);
    }
    assert_string_equal(id[0], id[2]);
    assert_string_not_equal(id[0], id[1]);
    assert_string_not_equal(id[0], id[3]);
    assert_int_equal(strlen(id[0]), IDENTITY_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_sha256),
        cmocka_unit_test(a_checkpoint_is_told_from_others),
        cmocka_unit_test_teardown(a_restart_finds_the_same_bits, empty_directory),
        cmocka_unit_test_teardown(every_format_has_files_of_its_own, empty_directory),
        cmocka_unit_test_teardown(an_evicted_past_comes_back_too, empty_directory),
        cmocka_unit_test_teardown(little_staging_memory_takes_several_turns, empty_directory),
        cmocka_unit_test_teardown(tenants_and_models_stay_apart, empty_directory),
        cmocka_unit_test_teardown(nobody_shares_a_directory, empty_directory),
        cmocka_unit_test_teardown(what_is_damaged_is_told_from_what_is_good, empty_directory),
        cmocka_unit_test_teardown(strangers_files_are_left_alone, empty_directory),
        cmocka_unit_test_teardown(the_directory_stays_as_small_as_asked_for, empty_directory),
        cmocka_unit_test_teardown(whoever_waits_for_files_can_go_away, empty_directory),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
