// What all kernels share: types, loads and stores that convert, reductions in a fixed order.
//
// Kernels are templates over the type of their tensors; sums are kept in `Accum<T>`, float for all but double. A kernel
// file ends in one macro per kernel that gives it a name for each type:
//
//     #define SCALE(T, S) KERNEL scale_##S(const T* x, T* y, int n) { scale<T>(x, y, n); } EXPORT(scale_##S)
//     FOR_FLOATS(SCALE)
//
// No float atomics, and no result that depends on the order in which threads or blocks run.
#pragma once

#ifdef WSSS_EMULATE
#include "emulator.cuh"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
typedef __half f16;
typedef __nv_bfloat16 bf16;
#define KERNEL extern "C" __global__ void
#define EXPORT(name)
// Dynamic shared memory as an array of T; once in a kernel.
#define DYNAMIC_SHARED(T, name) \
  extern __shared__ __align__(16) unsigned char name##_bytes[]; \
  T* name = reinterpret_cast<T*>(name##_bytes)
#endif

#define FOR_FLOATS(X) X(float, f32) X(double, f64) X(f16, f16) X(bf16, bf16)
// Kernels over sums only.
#define FOR_SUMS(X) X(float, f32) X(double, f64)

namespace wsss {

template <class T> struct Accumulator { typedef float type; };
template <> struct Accumulator<double> { typedef double type; };
template <class T> using Accum = typename Accumulator<T>::type;

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(f16 x) { return __half2float(x); }
__device__ __forceinline__ float widen(bf16 x) { return __bfloat162float(x); }

template <class T> struct Narrow;
template <> struct Narrow<float> { static __device__ __forceinline__ float of(float x) { return x; } };
template <> struct Narrow<double> { static __device__ __forceinline__ double of(double x) { return x; } };
template <> struct Narrow<f16> { static __device__ __forceinline__ f16 of(float x) { return __float2half_rn(x); } };
template <> struct Narrow<bf16> { static __device__ __forceinline__ bf16 of(float x) { return __float2bfloat16_rn(x); } };

// x[i] in the type of sums.
template <class T> __device__ __forceinline__ Accum<T> load(const T* x, long long i) { return widen(x[i]); }
// x[i] = value, rounded to nearest even.
template <class T> __device__ __forceinline__ void store(T* x, long long i, Accum<T> value) { x[i] = Narrow<T>::of(value); }

// This thread among all of the grid, and how many there are: for loops over elements.
__device__ __forceinline__ long long first_item() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long item_stride() { return (long long)gridDim.x * blockDim.x; }

// Functions of float and double under one name.
__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }
__device__ __forceinline__ float logarithm_1p(float x) { return log1pf(x); }
__device__ __forceinline__ double logarithm_1p(double x) { return log1p(x); }
__device__ __forceinline__ float root(float x) { return sqrtf(x); }
__device__ __forceinline__ double root(double x) { return sqrt(x); }
__device__ __forceinline__ float magnitude(float x) { return fabsf(x); }
__device__ __forceinline__ double magnitude(double x) { return fabs(x); }
template <class A> __device__ __forceinline__ A larger(A a, A b) { return a < b ? b : a; }
template <class A> __device__ __forceinline__ A smaller(A a, A b) { return b < a ? b : a; }

struct Sum {
  template <class A> static __device__ __forceinline__ A of(A a, A b) { return a + b; }
};
struct Largest {
  template <class A> static __device__ __forceinline__ A of(A a, A b) { return larger(a, b); }
};
struct Smallest {
  template <class A> static __device__ __forceinline__ A of(A a, A b) { return smaller(a, b); }
};

// Over the 32 threads of a warp, the same in all of them. All threads of the warp must call it.
template <class Op, class A> __device__ __forceinline__ A over_warp(A value) {
  for (int lane = 16; lane > 0; lane >>= 1) value = Op::of(value, __shfl_xor_sync(0xffffffffu, value, lane));
  return value;
}

// Over the threads of a block, whose number is a multiple of 32; the same in all of them. All threads must call it. The
// order is fixed: within warps, then over the warps from the first to the last.
template <class Op, class A> __device__ __forceinline__ A over_block(A value) {
  __shared__ A of_warp[32];
  value = over_warp<Op>(value);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  value = of_warp[0];
  for (int warp = 1; warp < (int)blockDim.x / 32; ++warp) value = Op::of(value, of_warp[warp]);
  __syncthreads();
  return value;
}

}  // namespace wsss

using namespace wsss;
