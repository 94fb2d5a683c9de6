// CUDA's words for a host compiler: what kernels may use, and what it means on the emulator.
#pragma once

#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// Fibers of a block share a thread of the host, and one block runs at a time on it.
#define __shared__ static thread_local
#define KERNEL static void
#define EXPORT(name) static const emulator::Register register_##name(#name, name);
#define DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(emulator::dynamic_shared())

namespace emulator {

struct Dim { unsigned x, y, z; };

struct Context {
  Dim thread, block, block_size, grid;
};
extern thread_local Context context;

void* dynamic_shared();
void wait_for_block();
void wait_for_warp();
// Where the threads of a block leave values for their warp: 8 bytes a thread.
uint64_t* exchange();
// Threads of the block that are not done.
bool is_running(unsigned thread);

struct Kernel {
  std::vector<unsigned> sizes;
  std::function<void(const void* const*)> run;
};
std::map<std::string, Kernel>& kernels();

template <class... A> struct Register {
  Register(const char* name, void (*kernel)(A...)) {
    kernels()[name] = Kernel{{(unsigned)sizeof(A)...}, [kernel](const void* const* values) {
      call(kernel, values, std::index_sequence_for<A...>());
    }};
  }
  template <size_t... I>
  static void call(void (*kernel)(A...), const void* const* values, std::index_sequence<I...>) {
    kernel(*reinterpret_cast<const std::remove_const_t<A>*>(values[I])...);
  }
};

template <class V> V exchanged(V value, unsigned source_lane) {
  static_assert(sizeof(V) <= 8, "exchanged values have at most 8 bytes");
  unsigned own = context.thread.x;
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(V));
  exchange()[own] = word;
  wait_for_warp();
  unsigned source = own / 32 * 32 + source_lane % 32;
  // What a thread that is done or was never there holds is undefined.
  word = source < context.block_size.x && is_running(source) ? exchange()[source] : ~uint64_t(0);
  wait_for_warp();
  V result;
  std::memcpy(&result, &word, sizeof(V));
  return result;
}

}  // namespace emulator

#define threadIdx (emulator::context.thread)
#define blockIdx (emulator::context.block)
#define blockDim (emulator::context.block_size)
#define gridDim (emulator::context.grid)

inline void __syncthreads() { emulator::wait_for_block(); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulator::wait_for_warp(); }
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class V> V __shfl_sync(unsigned, V value, int lane) { return emulator::exchanged(value, lane); }
template <class V> V __shfl_xor_sync(unsigned, V value, int mask) {
  return emulator::exchanged(value, (threadIdx.x % 32) ^ mask);
}
template <class V> V __shfl_down_sync(unsigned, V value, unsigned by) {
  unsigned lane = threadIdx.x % 32;
  return emulator::exchanged(value, lane + by < 32 ? lane + by : lane);
}
template <class V> V __shfl_up_sync(unsigned, V value, unsigned by) {
  unsigned lane = threadIdx.x % 32;
  return emulator::exchanged(value, lane >= by ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  unsigned base = threadIdx.x / 32 * 32, votes = 0;
  emulator::exchange()[threadIdx.x] = predicate != 0;
  emulator::wait_for_warp();
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned thread = base + lane;
    if (thread < blockDim.x && emulator::is_running(thread) && emulator::exchange()[thread] == 1) votes |= 1u << lane;
  }
  emulator::wait_for_warp();
  return votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }
inline unsigned __float_as_uint(float x) { unsigned y; std::memcpy(&y, &x, 4); return y; }
inline float __uint_as_float(unsigned x) { float y; std::memcpy(&y, &x, 4); return y; }
inline int __float_as_int(float x) { int y; std::memcpy(&y, &x, 4); return y; }
inline float __int_as_float(int x) { float y; std::memcpy(&y, &x, 4); return y; }
inline long long __double_as_longlong(double x) { long long y; std::memcpy(&y, &x, 8); return y; }
inline double __longlong_as_double(long long x) { double y; std::memcpy(&y, &x, 8); return y; }

template <class A, class B> std::common_type_t<A, B> min(A a, B b) { return b < a ? b : a; }
template <class A, class B> std::common_type_t<A, B> max(A a, B b) { return a < b ? b : a; }
template <class V> V __ldg(const V* x) { return *x; }

// Integers only: sums of floats would depend on the order.
template <class V> V atomicAdd(V* x, V by) {
  static_assert(std::is_integral<V>::value, "atomics of floats depend on the order of threads");
  V old = *x;
  *x += by;
  return old;
}
template <class V> V atomicMax(V* x, V y) { V old = *x; if (*x < y) *x = y; return old; }
template <class V> V atomicMin(V* x, V y) { V old = *x; if (y < *x) *x = y; return old; }
template <class V> V atomicOr(V* x, V y) { V old = *x; *x |= y; return old; }

struct f16 { uint16_t bits; };
struct bf16 { uint16_t bits; };

inline float __bfloat162float(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }
inline bf16 __float2bfloat16_rn(float x) {
  unsigned bits = __float_as_uint(x);
  if (std::isnan(x)) return {(uint16_t)(bits >> 16 | 0x40)};
  return {(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

inline float __half2float(f16 x) {
  unsigned exponent = x.bits >> 10 & 31, fraction = x.bits & 0x3ff;
  float value = exponent == 0 ? std::ldexp((float)fraction, -24)
              : exponent == 31 ? (fraction ? NAN : INFINITY)
              : std::ldexp((float)(fraction | 0x400), (int)exponent - 25);
  return x.bits & 0x8000 ? -value : value;
}
inline f16 __float2half_rn(float x) {
  uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  float size = std::fabs(x);
  if (std::isnan(x)) return {(uint16_t)(sign | 0x7e00)};
  // 65520 is halfway between the largest number and the next that would be.
  if (size >= 65520.0f) return {(uint16_t)(sign | 0x7c00)};
  int exponent = size == 0 ? -14 : std::max(std::ilogb(size), -14);
  // Multiples of the last place, rounded to nearest even by the host's rounding mode; a carry moves into the exponent.
  unsigned places = (unsigned)std::nearbyint(std::ldexp(size, 10 - exponent));
  return {(uint16_t)(sign | (((unsigned)(exponent + 14) << 10) + places))};
}
