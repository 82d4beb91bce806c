/* random_id.h -- names that nobody can guess: "file-9f2c...", 96 bits of the system's randomness in hexadecimal. */
#ifndef SERVER_RANDOM_ID_H
#define SERVER_RANDOM_ID_H

enum { RANDOM_ID_BYTES = 48 };

typedef struct RandomId { char text[RANDOM_ID_BYTES]; } RandomId;

RandomId random_id(const char *prefix);      /* of at most 20 letters */

#endif
