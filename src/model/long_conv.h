/* long_conv.h -- layers that mix a sequence by convolutions as long as it is, computed as recurrences.
 *
 *     S4D      y = Wg g(u) * sigmoid(Wh g(u)),  u = K * x                 (Gu et al. 2022, "On the Parameterization
 *                                                                         and Initialization of Diagonal SSMs")
 *     H3       y = (q (K * (k v))) Wo,  k = shift * (x Wk)                (Fu et al. 2023, "Hungry Hungry Hippos")
 *     Hyena    y = (q (K * (k v))) Wo,  q, k, v = short * (x Wq, x Wk, x Wv)      (Poli et al. 2023, in the modal form of
 *                                                                         Massaroli et al. 2023, "Laughing Hyena")
 *
 * K * x is the causal convolution of each channel by itself; products without a sign are value by value; g is GELU.
 * K[t] = sum_m Re(c[m] lambda[m]^t), and the last row's x counts once more, by `skip`. So a state of `modes` complex
 * numbers for each channel stands for the whole past: complex_scan. Hyena's checkpoints hold lambda (poles) and c
 * (residues); those of S4D and H3 hold them in continuous time, and each step discretises them anew.
 *
 * The shift of H3 is a state space as well (shift_scan); the short filter of Hyena is a convolution of a few taps.
 */
#ifndef MODEL_LONG_CONV_H
#define MODEL_LONG_CONV_H

#include "model/linear_weights.h"
#include "model/model.h"
#include "model/part.h"

/* A diagonal state space in continuous time for each of D channels. */
typedef struct DiagonalShape {
    int32_t D, modes;
    int32_t spaces;              /* channel i uses the A (and B) of space i mod spaces */
    Discretise how;
    bool input;                  /* there is a B */
    const char *prefix;          /* "backbone.layers.%d.mixer.kernel.kernel." */
    const char *a_real;          /* "inv_A_real": ln of minus the real part of A */
} DiagonalShape;

typedef struct S4dShape {
    DiagonalShape space;
    Activation activation;
    const char *prefix;          /* "s4_layers.%d." */
} S4dShape;

typedef struct H3Shape {
    DiagonalShape space;
    int32_t places;              /* of the shift */
    const char *prefix;          /* "backbone.layers.%d.mixer." */
} H3Shape;

typedef struct HyenaShape {
    int32_t D, heads, modes, taps;
    bool taps_bias;
    bool by_head;                /* q, k and v of a head stand together in a checkpoint */
    const char *prefix;          /* "backbone.blocks.%d." */
} HyenaShape;

extern const Part part_s4d, part_h3, part_hyena;

#endif
