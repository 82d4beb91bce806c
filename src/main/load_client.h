/* load_client.h -- asks a server what a plan says, many at a time, and takes the times.
 *
 *     arrivals -> lane (one conversation, one connection) -> request -> stream of events -> tally
 *
 * One thread, one epoll, libcurl for HTTP: on a machine that the server under test shares, what this program takes
 * is taken from the server, so it is measured too (LoadTally.own_cpu_seconds). libcurl is optional: built without
 * it, every function here fails with what to install.
 */
#ifndef MAIN_LOAD_CLIENT_H
#define MAIN_LOAD_CLIENT_H

#include <stdio.h>

#include "tools/load_talk.h"
#include "tools/load_tally.h"

enum { LOAD_LANES_MAX = 1 << 14, LOAD_REQUESTS_MAX = 10000000, LOAD_ERRORS_IN_A_ROW_MAX = 1000 };

typedef struct LoadOptions {
    const char *url;           /* "http://127.0.0.1:8080", with or without "/v1" */
    const char *api_key;       /* NULL: none */
    LoadWire wire;
    LoadPlan plan;
    int64_t requests;          /* that are asked */
    double duration;           /* seconds after which no more are asked; 0: no limit */
    int32_t lanes;             /* conversations at one time; with a rate: at most, the others wait */
    double timeout_seconds;    /* of one request */
    FILE *times;               /* gets a line for each text; NULL: nobody wants them */
    bool (*interrupted)(void);
    void (*progress)(void *with, int64_t answered, double seconds, double tokens_per_second);   /* NULL: none */
    void *with;
} LoadOptions;

/* The name of the first model that the server lists. */
Err load_client_model(const LoadOptions *, char *out, size_t bytes, Error *);
/* Returns early, with what there is, when it is interrupted. A request that fails is no error of this function. */
Err load_client_run(const LoadOptions *, LoadTally *, Error *);

#endif
