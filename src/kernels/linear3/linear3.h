/* linear3.h
 *
 *     q = x wq^T + bq        k = x wk^T + bk        v = x wv^T + bv
 *
 * Three linear (linear.h), each with its meaning and tolerance, that read the same x: it is rounded once,
 * and the threads wait for each other once. The three weights may be of different formats.
 * Cost: that of the three, less two readings of x.
 */
#ifndef KERNELS_LINEAR3_H
#define KERNELS_LINEAR3_H

enum { LINEAR3 = 3 };   /* in[1 + i]: weight i, in[4 + i]: its bias, out[i] */

#endif
