// Index of the first largest or smallest element along an axis. NaN wins against numbers.
#include "../device/kernel.cuh"

template <class A> struct Best {
  A value;
  int index;

  // The other one if it is better: by value, the first of equal ones.
  __device__ Best or_better(const Best& other, int smallest) const {
    bool is_nan = value != value, other_is_nan = other.value != other.value;
    bool before = other.index < index;
    bool better;
    if (is_nan || other_is_nan) better = other_is_nan && (!is_nan || before);
    else if (value == other.value) better = before;
    else better = (other.value > value) != (smallest != 0);
    return better ? other : *this;
  }
};

// A thread per vector: neighbours read neighbours where the axis is not the last.
template <class T>
__device__ void extremum_threads(const T* x, unsigned* result, long long vectors, int len, int inner, int smallest) {
  typedef Best<Accum<T>> B;
  for (long long vector = first_item(); vector < vectors; vector += item_stride()) {
    long long start = vector / inner * len * inner + vector % inner;
    B best = {load(x, start), 0};
    for (int i = 1; i < len; ++i) best = best.or_better(B{load(x, start + (long long)i * inner), i}, smallest);
    result[vector] = best.index;
  }
}

// A block per vector of neighbours.
template <class T>
__device__ void extremum_blocks(const T* x, unsigned* result, long long vectors, int len, int smallest) {
  typedef Best<Accum<T>> B;
  __shared__ Accum<T> values[32];
  __shared__ int indices[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (long long vector = blockIdx.x; vector < vectors; vector += gridDim.x) {
    const T* row = x + vector * len;
    // Threads without an element of their own repeat one, which changes nothing.
    int first = min((int)threadIdx.x, len - 1);
    B best = {load(row, first), first};
    for (int i = threadIdx.x + blockDim.x; i < len; i += blockDim.x) best = best.or_better(B{load(row, i), i}, smallest);
    for (int mask = 16; mask > 0; mask >>= 1) {
      B other = {__shfl_xor_sync(0xffffffffu, best.value, mask), __shfl_xor_sync(0xffffffffu, best.index, mask)};
      best = best.or_better(other, smallest);
    }
    if (lane == 0) {
      values[warp] = best.value;
      indices[warp] = best.index;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int i = 1; i < warps; ++i) best = best.or_better(B{values[i], indices[i]}, smallest);
      result[vector] = best.index;
    }
    __syncthreads();
  }
}

#define EXTREMUM(T, S)                                                                                              \
  KERNEL extremum_threads_##S(const T* x, unsigned* result, long long vectors, int len, int inner, int smallest) {  \
    extremum_threads(x, result, vectors, len, inner, smallest);                                                     \
  }                                                                                                                 \
  EXPORT(extremum_threads_##S)                                                                                      \
  KERNEL extremum_blocks_##S(const T* x, unsigned* result, long long vectors, int len, int smallest) {              \
    extremum_blocks(x, result, vectors, len, smallest);                                                             \
  }                                                                                                                 \
  EXPORT(extremum_blocks_##S)
FOR_FLOATS(EXTREMUM)
