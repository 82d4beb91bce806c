/* warp_products_cuda.h -- a warp's products on tensor cores. PTX ISA 8.0: mma.m16n8k32 and mma.m16n8k16, ldmatrix. */
#ifndef KERNELS_LINEAR_WARP_PRODUCTS_CUDA_H
#define KERNELS_LINEAR_WARP_PRODUCTS_CUDA_H

/* 1.5 * 2^23 as a float has it: sums of integers that begin with it are floats, whose value is one subtraction away. */
enum { INTS_ZERO = 0x4b400000 };

/* A warp's 16 outputs by 8 rows, over 32 k; lane 4 g + t has, of outputs g (d[0], d[1]) and g + 8 (d[2], d[3]), rows 2 t and 2
 * t + 1, which begin with zero.x and zero.y. w: outputs g and g + 8 in four k from 4 t on, the same from 16 + 4 t on; x: row
 * g. */
static __device__ inline void ints_multiply_32(int *d, const int *w, const int *x, int2 zero)
{
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %10, %11};"
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
        : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(x[0]), "r"(x[1]), "r"(zero.x), "r"(zero.y));
}
/* Over 16 k. */
static __device__ inline void ints_multiply_16(int *d, const int *w, int x, int2 zero)
{
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%7, %8, %7, %8};"
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
        : "r"(w[0]), "r"(w[1]), "r"(x), "r"(zero.x), "r"(zero.y));
}

/* Numbers of f16 over 16 k, added to d. w: outputs g and g + 8 in two k from 2 t on, the same from 8 + 2 t on; x: row g. */
static __device__ inline void f16_multiply_16(float *d, const unsigned *w, const int *x)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(x[0]), "r"(x[1]));
}

/* Four matrices of eight rows of 16 bytes in shared memory, whose places the lanes name, eight for each: word t of row g. */
static __device__ inline void load_matrices(int *to, unsigned place)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(place) : "memory");
}

#endif
