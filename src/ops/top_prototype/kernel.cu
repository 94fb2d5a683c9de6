// The best pixels of a channel over a batch, their scores, weighted sums of their features, and the gradient of those.
#include "../device/kernel.cuh"

typedef unsigned long long u64;

// Numbers whose order as integers is that of the elements, the largest first; NaN before everything, the zeros equal.
template <class A> struct Key;
template <> struct Key<float> {
  typedef unsigned type;
  static __device__ unsigned of(float x) {
    const unsigned sign = 0x80000000u;
    unsigned bits = x != x ? 0x7fffffffu : __float_as_uint(x + 0.0f);
    return ~(bits & sign ? ~bits : bits | sign);
  }
};
template <> struct Key<double> {
  typedef u64 type;
  static __device__ u64 of(double x) {
    const u64 sign = 0x8000000000000000ull;
    u64 bits = x != x ? ~sign : (u64)__double_as_longlong(x + 0.0);
    return ~(bits & sign ? ~bits : bits | sign);
  }
};

// Sum over the threads before this one, and `total` over all.
__device__ int before(int count, int* total) {
  __shared__ int of_warp[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, sum = count;
  for (int by = 1; by < 32; by *= 2) {
    int other = __shfl_up_sync(0xffffffffu, sum, by);
    if (lane >= by) sum += other;
  }
  if (lane == 31) of_warp[warp] = sum;
  __syncthreads();
  int start = 0, all = 0;
  for (int other = 0; other < (int)blockDim.x / 32; ++other) {
    if (other < warp) start += of_warp[other];
    all += of_warp[other];
  }
  __syncthreads();
  *total = all;
  return start + sum - count;
}

// A block per channel. `keys` and `chosen` have room for `padded` entries a channel, the next power of two from `k` on.
template <class T>
__device__ void top_pixels(const T* scores, const unsigned* channels, typename Key<Accum<T>>::type* keys,
                           unsigned* chosen, unsigned* result, int images, int all, int pixels, int k, int padded) {
  typedef typename Key<Accum<T>>::type K;
  __shared__ unsigned counts[256];
  __shared__ K shared_prefix;
  __shared__ int shared_need;
  const T* start = scores + (long long)channels[blockIdx.x] * pixels;
  int count = images * pixels;
  auto key = [&](int i) {
    return Key<Accum<T>>::of(load(start, (long long)(i / pixels) * all * pixels + i % pixels));
  };
  // The k-th key, eight bits at a time from the first on; `need` of its equals are taken.
  K prefix = 0;
  int need = k;
  for (int shift = 8 * (int)sizeof(K) - 8; shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < 256; i += blockDim.x) counts[i] = 0;
    __syncthreads();
    K known = shift + 8 == 8 * (int)sizeof(K) ? K(0) : ~K(0) << (shift + 8);
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      K value = key(i);
      if ((value & known) == prefix) atomicAdd(&counts[(unsigned)(value >> shift) & 255u], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = 0, left = need;
      while (left > (int)counts[digit]) left -= counts[digit++];
      shared_prefix = prefix | K(digit) << shift;
      shared_need = left;
    }
    __syncthreads();
    prefix = shared_prefix;
    need = shared_need;
  }
  // Taken in the order of their index: all before the k-th, and the first of its equals.
  K* own_keys = keys + (long long)blockIdx.x * padded;
  unsigned* own = chosen + (long long)blockIdx.x * padded;
  int taken = 0, ties = 0;
  for (int base = 0; base < count; base += blockDim.x) {
    int i = base + threadIdx.x;
    K value = i < count ? key(i) : ~K(0);
    int is_tie = i < count && value == prefix, total = 0;
    int earlier = before(is_tie, &total);
    int is_taken = i < count && (value < prefix || (is_tie && ties + earlier < need));
    ties += total;
    int place = before(is_taken, &total);
    if (is_taken) {
      own_keys[taken + place] = value;
      own[taken + place] = i;
    }
    taken += total;
  }
  for (int i = k + threadIdx.x; i < padded; i += blockDim.x) {
    own_keys[i] = ~K(0);
    own[i] = ~0u;
  }
  // Bitonic sort by key, then by index.
  for (int size = 2; size <= padded; size *= 2) {
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      for (int i = threadIdx.x; i < padded; i += blockDim.x) {
        int other = i ^ stride;
        if (other < i) continue;
        bool is_after = own_keys[i] != own_keys[other] ? own_keys[i] > own_keys[other] : own[i] > own[other];
        if (is_after == ((i & size) == 0)) {
          K value = own_keys[i];
          own_keys[i] = own_keys[other];
          own_keys[other] = value;
          unsigned index = own[i];
          own[i] = own[other];
          own[other] = index;
        }
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < k; i += blockDim.x) result[(long long)blockIdx.x * k + i] = own[i];
}

template <class T>
__device__ void pixel_values(const T* scores, const unsigned* channels, const unsigned* indices, T* values, int all,
                             int pixels, int k, long long count) {
  for (long long at = first_item(); at < count; at += item_stride()) {
    long long image = indices[at] / pixels, pixel = indices[at] % pixels;
    values[at] = scores[(image * all + channels[at / k]) * pixels + pixel];
  }
}

// A block per class and channel.
template <class T>
__device__ void pixel_sums(const T* features, const unsigned* indices, const Accum<T>* weights, T* result, int dim,
                           int pixels, int k) {
  typedef Accum<T> A;
  long long first = (long long)(blockIdx.x / dim) * k;
  int channel = blockIdx.x % dim;
  A sum = 0;
  for (int j = threadIdx.x; j < k; j += blockDim.x) {
    long long image = indices[first + j] / pixels, pixel = indices[first + j] % pixels;
    sum += weights[first + j] * load(features, (image * dim + channel) * pixels + pixel);
  }
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) store(result, blockIdx.x, sum);
}

// A block for `blockDim.x` pixels of an image: of each, its weight for each class, then all channels. A class has a pixel
// once at most, so no two threads write the same weight.
template <class T>
__device__ void pixel_sums_gradient(const T* grad, const unsigned* indices, const Accum<T>* weights, T* result,
                                    Accum<T>* table, int dim, int pixels, int classes, int k) {
  typedef Accum<T> A;
  int tile = blockDim.x, tiles = (pixels + tile - 1) / tile;
  int image = blockIdx.x / tiles, start = blockIdx.x % tiles * tile, len = smaller(tile, pixels - start);
  for (int i = threadIdx.x; i < classes * tile; i += blockDim.x) table[i] = 0;
  __syncthreads();
  unsigned first = (unsigned)image * pixels + start;
  for (long long at = threadIdx.x; at < (long long)classes * k; at += blockDim.x) {
    unsigned local = indices[at] - first;
    if (local < (unsigned)len) table[at / k * tile + local] = weights[at];
  }
  __syncthreads();
  if ((int)threadIdx.x >= len) return;
  for (int channel = 0; channel < dim; ++channel) {
    A sum = 0;
    for (int c = 0; c < classes; ++c) sum += table[c * tile + threadIdx.x] * load(grad, (long long)c * dim + channel);
    store(result, ((long long)image * dim + channel) * pixels + start + threadIdx.x, sum);
  }
}

#define TOP_PROTOTYPE(T, S)                                                                                          \
  KERNEL top_pixels_##S(const T* scores, const unsigned* channels, Key<Accum<T>>::type* keys, unsigned* chosen,     \
                        unsigned* result, int images, int all, int pixels, int k, int padded) {                     \
    top_pixels(scores, channels, keys, chosen, result, images, all, pixels, k, padded);                             \
  }                                                                                                                 \
  EXPORT(top_pixels_##S)                                                                                            \
  KERNEL pixel_values_##S(const T* scores, const unsigned* channels, const unsigned* indices, T* values, int all,   \
                          int pixels, int k, long long count) {                                                     \
    pixel_values(scores, channels, indices, values, all, pixels, k, count);                                         \
  }                                                                                                                 \
  EXPORT(pixel_values_##S)                                                                                          \
  KERNEL pixel_sums_##S(const T* features, const unsigned* indices, const Accum<T>* weights, T* result, int dim,    \
                        int pixels, int k) {                                                                        \
    pixel_sums(features, indices, weights, result, dim, pixels, k);                                                 \
  }                                                                                                                 \
  EXPORT(pixel_sums_##S)                                                                                            \
  KERNEL pixel_sums_gradient_##S(const T* grad, const unsigned* indices, const Accum<T>* weights, T* result,        \
                                 int dim, int pixels, int classes, int k) {                                         \
    DYNAMIC_SHARED(Accum<T>, table);                                                                                \
    pixel_sums_gradient(grad, indices, weights, result, table, dim, pixels, classes, k);                            \
  }                                                                                                                 \
  EXPORT(pixel_sums_gradient_##S)
FOR_FLOATS(TOP_PROTOTYPE)
