/* complete.c -- continues a text:   complete "Once upon a time" [MODEL]
 *
 *     cc complete.c $(pkg-config --cflags --libs ridge) -o complete
 */
#include <ridge.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    ridge_model *model = NULL;
    ridge_engine *engine = NULL;
    ridge_request *request = NULL;
    ridge_error error;
    ridge_request_options options = {.text = argc > 1 ? argv[1] : "Once upon a time", .max_tokens = 64};

    if (ridge_model_open(argc > 2 ? argv[2] : NULL, NULL, &model, &error) ||
        ridge_engine_new(model, NULL, &engine, &error) || ridge_submit(engine, &options, &request, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    while (!ridge_ended(request)) {
        ridge_step(engine);
        for (ridge_event event; ridge_next(request, &event); fflush(stdout))
            fwrite(event.text, 1, event.text_bytes, stdout);
    }
    putchar('\n');
    ridge_request_close(request);
    ridge_engine_free(engine);
    ridge_model_close(model);
    return 0;
}
