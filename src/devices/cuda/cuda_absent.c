/* cuda_absent.c -- cuda_device.h where ridge was built without CUDA. */
#include "devices/cuda/cuda_device.h"
#include "devices/cuda/cuda_speeds.h"

#ifndef RIDGE_CUDA

bool cuda_is_there(void) { return false; }

Err cuda_device_open(const CudaOptions *options, Device **out, Error *err)
{
    (void)options, (void)out;
    return fail(err, UNSUPPORTED, "this ridge was built without CUDA: install the CUDA toolkit (nvcc) and run make again, "
                                  "or use --device cpu");
}

const char *cuda_device_title(const Device *d) { return d->name; }

Err cuda_speeds(Device *d, CudaSpeeds *out, Error *err)
{
    (void)out;
    return fail(err, UNSUPPORTED, "%s is no GPU", d->name);
}

#endif
