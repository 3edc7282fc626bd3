/* What programs are told of their devices: as many as there are cards, with the cards' memory. */
#include "card/cuda/pool.h"
#include "card/cuda/process.h"
#include "card/ledger/ledger.h"
#include "cuda_api.h"

static uint64_t lower_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t quota_of(const struct ledger_card *ledger)
{
    return __atomic_load_n(&ledger->quota_bytes, __ATOMIC_RELAXED);
}

CUresult api_cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes)
{
    size_t left = 0, whole = 0;
    struct card_view view;
    CUresult result = driver_cuMemGetInfo_v2(&left, &whole);
    if (result != CUDA_SUCCESS)
        return result;
    CUdevice device = process_device();
    if (process_card(device, &view) == CARD_READY) {
        pools_reconcile(device);
        uint64_t quota = quota_of(view.ledger), used = ledger_used(view.ledger);
        left = lower_of(left, used < quota ? quota - used : 0);
        whole = lower_of(whole, quota);
    }
    if (free_bytes)
        *free_bytes = left;
    if (total_bytes)
        *total_bytes = whole;
    return result;
}

CUresult api_cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    struct card_view view;
    CUresult result = driver_cuDeviceTotalMem_v2(bytes, device);
    if (result == CUDA_SUCCESS && process_card(device, &view) == CARD_READY)
        *bytes = lower_of(*bytes, quota_of(view.ledger));
    return result;
}

CUresult api_cuDeviceGetCount(int *count)
{
    CUresult result = driver_cuDeviceGetCount(count);
    int most = (int)card_count();
    if (result == CUDA_SUCCESS && most && *count > most)
        *count = most;
    return result;
}

CUresult api_cuDeviceGet(CUdevice *device, int ordinal)
{
    int most = (int)card_count();
    return most && ordinal >= most ? CUDA_ERROR_INVALID_DEVICE
                                   : driver_cuDeviceGet(device, ordinal);
}
