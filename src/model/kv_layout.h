/* kv_layout.h -- what each layer of a model keeps of the past; declared by the family, managed by cache/.
 *
 *     KV_FULL     keys and values of all positions               grows with the context
 *     KV_WINDOW   those of the last `window` positions           stays constant; older blocks go back
 *     KV_CHUNK    those of the current chunk of `window`         as KV_WINDOW
 *     KV_ALIAS    another layer's: owns nothing                  (CLA, shared key/value layers)
 *     KV_STATE    `state_width` numbers per sequence             (state spaces, linear attention, convolution)
 *     KV_NONE     nothing
 *
 * A latent (MLA) is KV_FULL with one head, key_width the latent and the rotary part, value_width 0.
 * A layer may keep keys and values and a state as well (attention beside Mamba-2): state_width is
 * looked at for every kind.
 */
#ifndef MODEL_KV_LAYOUT_H
#define MODEL_KV_LAYOUT_H

#include <stdint.h>

enum { LAYERS_MAX = 512 };

typedef enum KvKind { KV_NONE, KV_FULL, KV_WINDOW, KV_CHUNK, KV_ALIAS, KV_STATE } KvKind;

typedef struct KvLayer {
    KvKind kind;
    int32_t heads, key_width, value_width;   /* per head, in elements */
    int32_t window;                          /* WINDOW, CHUNK: tokens, the current one included */
    int32_t alias_of;                        /* ALIAS: a lower layer */
    int32_t state_width;                     /* in F32 elements, of all its operations together */
} KvLayer;

typedef struct KvLayout {
    int32_t layers;
    KvLayer layer[LAYERS_MAX];
} KvLayout;

#endif
