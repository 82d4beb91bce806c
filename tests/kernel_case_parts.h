/* kernel_case_parts.h -- of what cases of operations are made: chance, tensors between guards, words. */
#ifndef TESTS_KERNEL_CASE_PARTS_H
#define TESTS_KERNEL_CASE_PARTS_H

#include "kernel_cases.h"

int32_t below(KernelCase *, int32_t n);
bool one_in(KernelCase *, int32_t n);
int32_t size_up_to(KernelCase *, int32_t most);     /* mostly next to a power of two */
float normal(KernelCase *);

/* Rows may lie apart. Values: normal, times size. */
Tensor floats(KernelCase *, int32_t rows, int32_t width, float size);
Tensor vector(KernelCase *, int32_t n, float size);
Tensor vector_or_none(KernelCase *, int32_t n);
Tensor numbers(KernelCase *, int32_t n);
void say(KernelCase *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The operations that keep a state: kernel_cases_state.c */
void make_conv(KernelCase *);
void make_selective_scan(KernelCase *);
void make_decay_scan(KernelCase *);
void make_linear_scan(KernelCase *);
void make_delta_scan(KernelCase *);
void make_wkv_scan(KernelCase *);
void make_mlstm_scan(KernelCase *);
void make_taylor_scan(KernelCase *);
void make_complex_scan(KernelCase *);
void make_shift_scan(KernelCase *);
void make_discretise(KernelCase *);

#endif
