/* gpu.c -- build/bench/gpu: the limits of the GPU, as measured: bytes read, operations of a bf16 product. JSON. */
#include <stdio.h>

#include "devices/cuda/cuda_device.h"
#include "devices/cuda/cuda_speeds.h"

int main(void)
{
    Error err;
    Device *d;
    CudaSpeeds speeds;
    if (cuda_device_open(&(CudaOptions){.exact = true}, &d, &err) != OK || cuda_speeds(d, &speeds, &err) != OK) {
        fprintf(stderr, "gpu: %s\n", err.text);
        return 1;
    }
    printf("{\"gpu\": \"%s\", \"read_gb_per_second\": %.1f, \"bf16_tflops\": %.1f}\n", cuda_device_title(d),
           speeds.read_bytes / 1e9, speeds.bf16_operations / 1e12);
    device_close(d);
    return 0;
}
