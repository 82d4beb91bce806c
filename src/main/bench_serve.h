/* bench_serve.h -- ridge bench serve: how a server answers many at a time, whoever wrote it. */
#ifndef MAIN_BENCH_SERVE_H
#define MAIN_BENCH_SERVE_H

int bench_serve(int argc, char **argv);   /* argv[0]: "serve"; returns the exit status */

#endif
