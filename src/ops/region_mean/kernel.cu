// Means of a map over regions, and their gradient: a block per plane.
#include "../device/kernel.cuh"

// Regions summed over at the same time.
constexpr int REGIONS = 4;

template <class A> __device__ A scale(double divisor) { return A(divisor == 0 ? 0 : 1 / divisor); }

template <class T>
__device__ void region_mean(const T* map, const unsigned char* masks, const double* divisors, const unsigned* starts, T* means,
                            int dim, int pixels) {
  typedef Accum<T> A;
  int image = blockIdx.x / dim, channel = blockIdx.x % dim;
  const T* plane = map + (long long)blockIdx.x * pixels;
  for (int first = starts[image]; first < (int)starts[image + 1]; first += REGIONS) {
    int count = smaller((int)starts[image + 1] - first, REGIONS);
    A sums[REGIONS] = {};
    for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
      A value = load(plane, i);
      for (int j = 0; j < REGIONS; ++j) {
        if (j < count) sums[j] += value * A(masks[(long long)(first + j) * pixels + i]);
      }
    }
    for (int j = 0; j < REGIONS; ++j) {
      A sum = over_block<Sum>(sums[j]);
      if (threadIdx.x == 0 && j < count) {
        store(means, (long long)(first + j) * dim + channel, sum * scale<A>(divisors[first + j]));
      }
    }
  }
}

template <class T>
__device__ void region_mean_gradient(const T* grad, const unsigned char* masks, const double* divisors, const unsigned* starts,
                                     T* result, int dim, int pixels) {
  typedef Accum<T> A;
  int image = blockIdx.x / dim, channel = blockIdx.x % dim;
  for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
    A sum = 0;
    for (int region = starts[image]; region < (int)starts[image + 1]; ++region) {
      A weight = load(grad, (long long)region * dim + channel) * scale<A>(divisors[region]);
      sum += weight * A(masks[(long long)region * pixels + i]);
    }
    store(result, (long long)blockIdx.x * pixels + i, sum);
  }
}

#define REGION_MEAN(T, S)                                                                                            \
  KERNEL region_mean_##S(const T* map, const unsigned char* masks, const double* divisors, const unsigned* starts,        \
                         T* means, int dim, int pixels) {                                                           \
    region_mean(map, masks, divisors, starts, means, dim, pixels);                                                  \
  }                                                                                                                 \
  EXPORT(region_mean_##S)                                                                                           \
  KERNEL region_mean_gradient_##S(const T* grad, const unsigned char* masks, const double* divisors,                      \
                                  const unsigned* starts, T* result, int dim, int pixels) {                         \
    region_mean_gradient(grad, masks, divisors, starts, result, dim, pixels);                                       \
  }                                                                                                                 \
  EXPORT(region_mean_gradient_##S)
FOR_FLOATS(REGION_MEAN)
