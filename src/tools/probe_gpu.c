#include "tools/probe_gpu.h"

#include <time.h>

#include "devices/cuda/cuda_device.h"
#include "devices/cuda/cuda_speeds.h"

Err probe_gpu_run(int index, Machine *out, Error *err)
{
    Device *device;
    CudaSpeeds speeds = {0};
    time_t seconds = time(NULL);
    struct tm now;
    localtime_r(&seconds, &now);
    TRY(cuda_device_open(&(CudaOptions){.index = index}, &device, err));
    Err result = cuda_speeds(device, &speeds, err);
    *out = (Machine){.bytes_per_second = speeds.read_bytes, .copy_bytes_per_second = speeds.upload_bytes,
                     .bf16 = speeds.bf16_operations, .memory_bytes = speeds.memory_bytes, .gpu = true};
    snprintf(out->name, sizeof out->name, "%.127s", cuda_device_title(device));
    snprintf(out->source, sizeof out->source, "ridge probe --device cuda, %04d-%02d-%02d", now.tm_year + 1900, now.tm_mon + 1,
             now.tm_mday);
    device_close(device);
    return result;
}
