"""Keeps every GPU busy for some seconds, with nothing but the driver: load.py SECONDS.

A kernel in PTX that multiplies and adds for ever is compiled by the driver itself, so that no
CUDA toolkit is needed.
"""

import ctypes
import sys
import time

PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry spin(.param .u64 out, .param .u32 rounds)
{
    .reg .pred %p;
    .reg .f32 %f<3>;
    .reg .u32 %r<3>;
    .reg .u64 %d;
    ld.param.u64 %d, [out];
    ld.param.u32 %r1, [rounds];
    mov.f32 %f1, 0f3F800001;
    mov.f32 %f2, 0f3F7FFFFF;
    mov.u32 %r2, 0;
again:
    fma.rn.f32 %f1, %f1, %f2, %f2;
    fma.rn.f32 %f2, %f2, %f1, %f1;
    add.u32 %r2, %r2, 1;
    setp.lt.u32 %p, %r2, %r1;
    @%p bra again;
    st.global.f32 [%d], %f1;
    ret;
}
"""


def check(code, what):
    if code != 0:
        sys.exit(f"load: {what} failed with CUDA error {code}")


def main():
    cuda = ctypes.CDLL("libcuda.so.1")
    check(cuda.cuInit(0), "cuInit")
    count = ctypes.c_int()
    check(cuda.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    jobs = []
    for index in range(count.value):
        device, context = ctypes.c_int(), ctypes.c_void_p()
        module, function, memory = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()
        check(cuda.cuDeviceGet(ctypes.byref(device), index), "cuDeviceGet")
        check(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device), "cuCtxCreate")
        check(cuda.cuModuleLoadData(ctypes.byref(module), PTX), "cuModuleLoadData")
        check(cuda.cuModuleGetFunction(ctypes.byref(function), module, b"spin"), "cuModuleGetFunction")
        check(cuda.cuMemAlloc_v2(ctypes.byref(memory), 1 << 30), "cuMemAlloc")
        jobs.append((context, function, memory))
    print(f"load: {len(jobs)} GPUs are busy", flush=True)
    end = time.monotonic() + float(sys.argv[1])
    rounds = ctypes.c_uint32(2_000_000)
    while time.monotonic() < end:
        for context, function, memory in jobs:
            check(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")
            arguments = (ctypes.c_void_p * 2)(
                ctypes.cast(ctypes.byref(memory), ctypes.c_void_p),
                ctypes.cast(ctypes.byref(rounds), ctypes.c_void_p),
            )
            launch = cuda.cuLaunchKernel(function, 1024, 1, 1, 256, 1, 1, 0, None, arguments, None)
            check(launch, "cuLaunchKernel")
        for context, _, _ in jobs:
            check(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")
            check(cuda.cuCtxSynchronize(), "cuCtxSynchronize")


main()
