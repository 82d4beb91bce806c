/* api_profile.c -- GET /ridge/roofline.svg and /ridge/batches.svg: where the server stands, drawn as `ridge bench --profile`
 * draws a run (plan/profile.h).
 *
 * Prompts and answers are always points that were measured. Operations are what the machine could do of them, and what
 * it did where the server was started with --profile, which times each of them.
 */
#include <stdlib.h>

#include "plan/profile.h"
#include "server/engine_thread.h"
#include "server/service.h"

enum { PICTURE_BYTES_MAX = 1 << 20 };

typedef struct Look {
    const Service *service;
    Profile profile;
} Look;

static void look(void *with, const Engine *e)
{
    Look *l = with;
    (void)e;
    l->service->o.profile(l->service->o.work_with, &l->profile);
}

static void add_phase(Profile *p, const char *name, const PhaseWork *w)
{
    if (w->steps > 0)
        profile_add_line(p, (ProfileLine){.part = "all", .op = name, .calls = (int64_t)w->steps,
                                          .demand = w->demand, .seconds = w->seconds});
}

static void draw(Exchange *x, void (*picture_of)(const Profile *, Picture *))
{
    ApiError e;
    Service *s = exchange_service(x);
    Picture picture;
    Look *l = s->o.profile ? calloc(1, sizeof *l) : NULL;
    if (l)
        l->service = s;
    if (!l || !service_between_steps(s, look, l)) {
        api_refuse(&e, 503, NULL, "there is nothing to draw");
        exchange_refuse(x, &e);
        free(l);
        return;
    }
    EngineNow now = engine_thread_now(s->thread);
    Buf text;
    buf_init(&text, PICTURE_BYTES_MAX);
    l->profile.machine = now.machine;
    add_phase(&l->profile, "prefill", &now.steps.prefill);
    add_phase(&l->profile, "decode", &now.steps.decode);
    profile_add_batch(&l->profile, &now.steps.decode);
    profile_choose_points(&l->profile);
    picture_of(&l->profile, &picture);
    picture_svg(&picture, 0, 0, &text);
    exchange_text(x, 200, "image/svg+xml", buf_span(&text));
    buf_deinit(&text);
    free(l);
}

static void roofline(Exchange *x) { draw(x, profile_roofline); }
static void batches(Exchange *x) { draw(x, profile_batches); }

static const Route list[] = {
    {"GET", "/ridge/roofline.svg", ACCESS_ADMIN, roofline},
    {"GET", "/ridge/batches.svg", ACCESS_ADMIN, batches},
};
const RouteList routes_profile = ROUTES(list, api_error_json);
