// Elementwise functions and their gradients. Comparisons are written so that NaN passes through.
#include "../device/kernel.cuh"

// As in device.rs.
enum Function { RELU, ABS, CLAMP, SOFTPLUS };

template <class A> __device__ A value_of(int function, A x, A low, A high) {
  switch (function) {
    case RELU: return x < 0 ? A(0) : x;
    // 0 rather than the negative zero it may be.
    case ABS: return x == 0 ? A(0) : magnitude(x);
    case CLAMP: return x < low ? low : x > high ? high : x;
    default: return (x < 0 ? A(0) : x) + logarithm_1p(exponential(-magnitude(x)));
  }
}

template <class A> __device__ A gradient_of(int function, A x, A grad, A low, A high) {
  switch (function) {
    case RELU: return x <= 0 ? A(0) : grad;
    case ABS: return x > 0 ? grad : x < 0 ? -grad : A(0);
    case CLAMP: return x >= low && x <= high ? grad : A(0);
    default: {
      // Of the two forms of the sigmoid, the one whose exponential cannot overflow.
      A e = exponential(-magnitude(x));
      return grad * ((x < 0 ? e : A(1)) / (1 + e));
    }
  }
}

template <class T>
__device__ void pointwise(const T* x, T* y, long long count, int function, double low, double high) {
  typedef Accum<T> A;
  for (long long i = first_item(); i < count; i += item_stride())
    store(y, i, value_of(function, load(x, i), A(low), A(high)));
}

template <class T>
__device__ void pointwise_gradient(const T* x, const T* grad, T* result, long long count, int function, double low,
                                   double high) {
  typedef Accum<T> A;
  for (long long i = first_item(); i < count; i += item_stride())
    store(result, i, gradient_of(function, load(x, i), load(grad, i), A(low), A(high)));
}

#define POINTWISE(T, S)                                                                                             \
  KERNEL pointwise_##S(const T* x, T* y, long long count, int function, double low, double high) {                  \
    pointwise(x, y, count, function, low, high);                                                                    \
  }                                                                                                                 \
  EXPORT(pointwise_##S)                                                                                             \
  KERNEL pointwise_gradient_##S(const T* x, const T* grad, T* result, long long count, int function, double low,    \
                                double high) {                                                                      \
    pointwise_gradient(x, grad, result, count, function, low, high);                                                \
  }                                                                                                                 \
  EXPORT(pointwise_gradient_##S)
FOR_FLOATS(POINTWISE)
