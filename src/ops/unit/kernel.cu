// Vectors of length one, and their gradient. A block per vector; `added` chooses the denominator norm + eps instead of
// max(norm, eps).
#include "../device/kernel.cuh"

template <class A> __device__ A denominator(A norm, A eps, int added) { return added ? norm + eps : larger(norm, eps); }

// Derivative of the denominator by the norm, over the norm.
template <class A> __device__ A slope_over_norm(A norm, A eps, int added) {
  bool is_constant = added ? norm == 0 : norm < eps;
  return is_constant ? A(0) : 1 / norm;
}

template <class T>
__device__ void unit(const T* x, T* y, long long vectors, int len, int inner, double eps, int added) {
  typedef Accum<T> A;
  for (long long vector = blockIdx.x; vector < vectors; vector += gridDim.x) {
    long long start = vector / inner * len * inner + vector % inner;
    A sum = 0;
    for (int i = threadIdx.x; i < len; i += blockDim.x) {
      A value = load(x, start + (long long)i * inner);
      sum += value * value;
    }
    A divisor = denominator(root(over_block<Sum>(sum)), A(eps), added);
    for (int i = threadIdx.x; i < len; i += blockDim.x) {
      long long at = start + (long long)i * inner;
      store(y, at, load(x, at) / divisor);
    }
  }
}

// g / d - x (x·g) d' / (norm d²)
template <class T>
__device__ void unit_gradient(const T* x, const T* grad, T* result, long long vectors, int len, int inner, double eps,
                              int added) {
  typedef Accum<T> A;
  for (long long vector = blockIdx.x; vector < vectors; vector += gridDim.x) {
    long long start = vector / inner * len * inner + vector % inner;
    A square = 0, along = 0;
    for (int i = threadIdx.x; i < len; i += blockDim.x) {
      long long at = start + (long long)i * inner;
      A value = load(x, at);
      square += value * value;
      along += value * load(grad, at);
    }
    A norm = root(over_block<Sum>(square));
    A divisor = denominator(norm, A(eps), added);
    along = over_block<Sum>(along) / divisor / divisor * slope_over_norm(norm, A(eps), added);
    for (int i = threadIdx.x; i < len; i += blockDim.x) {
      long long at = start + (long long)i * inner;
      store(result, at, load(grad, at) / divisor - load(x, at) * along);
    }
  }
}

#define UNIT(T, S)                                                                                                \
  KERNEL unit_##S(const T* x, T* y, long long vectors, int len, int inner, double eps, int added) {               \
    unit(x, y, vectors, len, inner, eps, added);                                                                  \
  }                                                                                                               \
  EXPORT(unit_##S)                                                                                                \
  KERNEL unit_gradient_##S(const T* x, const T* grad, T* result, long long vectors, int len, int inner, double eps, \
                           int added) {                                                                           \
    unit_gradient(x, grad, result, vectors, len, inner, eps, added);                                              \
  }                                                                                                               \
  EXPORT(unit_gradient_##S)
FOR_FLOATS(UNIT)
