/* panel_list_cpu.c -- the panels of this tier, from the directory: each formats/<name>/<name>_cpu.c. */
#include "formats/panel.h"
#include "kernels/kit/tier.h"

#define PANEL(name) extern const Panel TIERED(panel_##name);
#include "rooms.inc"
#undef PANEL

static const Panel *const panels[] = {
#define PANEL(name) &TIERED(panel_##name),
#include "rooms.inc"
#undef PANEL
};

const Panel *TIERED(panel_find)(const Format *format)
{
    for (size_t i = 0; i < COUNT_OF(panels); i++)
        if (panels[i]->format == format)
            return panels[i];
    return NULL;
}
