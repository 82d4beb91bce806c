#include "main/profile_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_out.h"
#include "tools/profile_work.h"

static const size_t TEXT_BYTES_MAX = (size_t)1 << 22;

struct ProfileOut {
    Profile profile;
    bool text;
    FileOut *svg, *html;           /* NULL: not asked for */
};

Err profile_out_new(ProfileOut **out, bool text, const char *svg, const char *html, Error *err)
{
    ProfileOut *p = calloc(1, sizeof *p);
    if (!p)
        return fail(err, NO_MEMORY, "no memory for a profile");
    p->text = text;
    Err result = svg ? file_out_new(svg, &p->svg, err) : OK;
    if (result == OK && html)
        result = file_out_new(html, &p->html, err);
    if (result != OK)
        profile_out_drop(p);
    else
        *out = p;
    return result;
}

void profile_out_add(ProfileOut *p, const PhaseWork *decode)
{
    if (p)
        profile_add_batch(&p->profile, decode);
}

static bool wants_colours(void)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && !(no && *no) && !(terminal && !strcmp(terminal, "dumb"));
}

/* The file is ended, whatever happens. */
static Err write_file(FileOut *file, const Profile *profile, void (*draw)(const Profile *, Buf *), Error *err)
{
    Buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    draw(profile, &text);
    Err result = text.full ? fail(err, NO_MEMORY, "no memory for %s", file_out_path(file))
                           : file_out_put(file, text.data, text.bytes, err);
    buf_deinit(&text);
    if (result == OK)
        return file_out_commit(file, err);
    file_out_drop(file);
    return result;
}

static void print(const Profile *profile)
{
    Buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    profile_text(profile, wants_colours(), &text);
    fwrite(text.data, 1, text.bytes, stderr);
    buf_deinit(&text);
}

Err profile_out_finish(ProfileOut *p, const Work *work, const Machine *machine, const char *model, Error *err)
{
    Profile *profile = &p->profile;
    const char *slash = strrchr(model, '/');
    snprintf(profile->model, sizeof profile->model, "%s", slash && slash[1] ? slash + 1 : model);
    if (machine)
        profile->machine = *machine;
    profile_take_work(profile, work);
    profile_choose_points(profile);
    if (p->text)
        print(profile);
    FileOut *svg = p->svg, *html = p->html;
    p->svg = p->html = NULL;
    Err result = svg ? write_file(svg, profile, profile_svg, err) : OK;
    if (html && result == OK)
        result = write_file(html, profile, profile_html, err);
    else
        file_out_drop(html);
    profile_out_drop(p);
    return result;
}

void profile_out_drop(ProfileOut *p)
{
    if (!p)
        return;
    file_out_drop(p->svg);
    file_out_drop(p->html);
    free(p);
}
