/* A stand-in for NVIDIA's driver library with two GPUs, the second of them sliced (MIG), for NVIDIA's own bindings.

   FAKE_NVML_SECONDS: how long each question for a utilisation takes. FAKE_NVML_LOST: the first GPU has fallen off the
   bus. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, GPU_IS_LOST = 15 };
enum { GPUS = 2, SLICE = 2 };

static const char *const uuids[] = {"GPU-aaaa1111-0000", "GPU-bbbb2222-0000", "MIG-cccc3333-0000"};
static int devices[3] = {0, 1, SLICE};

typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;

static int lost(const int *device) { return *device == 0 && getenv("FAKE_NVML_LOST"); }

int nvmlInitWithFlags(unsigned int flags) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int result) { return "an error of the stand-in"; }

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = GPUS;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, int **device) {
    if (index >= GPUS) return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, int **device) {
    for (int index = 0; index <= SLICE; index++)
        if (!strcmp(uuid, uuids[index])) {
            *device = &devices[index];
            return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(const int *device, char *uuid, unsigned int length) {
    strncpy(uuid, uuids[*device], length);
    return SUCCESS;
}

int nvmlDeviceGetName(const int *device, char *name, unsigned int length) {
    strncpy(name, *device == SLICE ? "Fake A100 MIG 1g.5gb" : *device ? "Fake A100" : "Fake H100", length);
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(const int *device, utilization_t *rates) {
    if (getenv("FAKE_NVML_SECONDS")) sleep(atoi(getenv("FAKE_NVML_SECONDS")));
    if (lost(device)) return GPU_IS_LOST;
    if (*device == SLICE) return NOT_SUPPORTED;
    rates->gpu = 50 + *device;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(const int *device, memory_t *memory) {
    if (lost(device)) return GPU_IS_LOST;
    memory->used = (10ULL + *device) << 30;
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(const int *device, unsigned int *milliwatts) {
    if (lost(device)) return GPU_IS_LOST;
    if (*device == SLICE) return NOT_SUPPORTED;
    *milliwatts = 300500 + 1000 * *device;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(const int *device, int sensor, unsigned int *degrees) {
    if (lost(device)) return GPU_IS_LOST;
    if (*device == SLICE) return NOT_SUPPORTED;
    *degrees = 60 + *device;
    return SUCCESS;
}
