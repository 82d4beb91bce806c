#include "server/random_id.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/error.h"

RandomId random_id(const char *prefix)
{
    uint8_t bytes[12];
    RandomId id;
    ASSERT(getrandom(bytes, sizeof bytes, 0) == sizeof bytes);   /* so few never come short, once the system has started */
    int at = snprintf(id.text, sizeof id.text, "%.20s", prefix);
    for (size_t i = 0; i < sizeof bytes; i++)
        at += snprintf(id.text + at, sizeof id.text - (size_t)at, "%02x", bytes[i]);
    return id;
}
