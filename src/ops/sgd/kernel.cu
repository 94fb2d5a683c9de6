// A step of gradient descent, and the norm of gradients.
#include "../device/kernel.cuh"

// direction = scale grad + decay weight + momentum velocity; velocity = direction; weight -= rate direction.
// `to` and `velocity_to` may be the same memory as `weight` and `velocity`; without momentum the latter two are null.
template <class T>
__device__ void sgd_step(const T* weight, const T* grad, const T* velocity, const double* scale, T* to, T* velocity_to,
                         long long count, double rate, double decay, double momentum) {
  typedef Accum<T> A;
  A factor = scale ? A(*scale) : A(1);
  for (long long i = first_item(); i < count; i += item_stride()) {
    A value = load(weight, i);
    A direction = load(grad, i) * factor;
    if (decay != 0) direction += value * A(decay);
    if (velocity) {
      direction += load(velocity, i) * A(momentum);
      store(velocity_to, i, direction);
    }
    store(to, i, value - direction * A(rate));
  }
}

// A block per part of the array.
template <class T> __device__ void sgd_squares(const T* x, double* parts, long long count) {
  double sum = 0;
  for (long long i = first_item(); i < count; i += item_stride()) {
    double value = load(x, i);
    sum += value * value;
  }
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// One block: the factor that brings the norm down to `limit`.
KERNEL sgd_scale(const double* parts, double* scale, int count, double limit) {
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) *scale = smaller(limit / larger(sqrt(sum), 2.2250738585072014e-308), 1.0);
}
EXPORT(sgd_scale)

#define SGD(T, S)                                                                                                     \
  KERNEL sgd_step_##S(const T* weight, const T* grad, const T* velocity, const double* scale, T* to, T* velocity_to,  \
                      long long count, double rate, double decay, double momentum) {                                  \
    sgd_step(weight, grad, velocity, scale, to, velocity_to, count, rate, decay, momentum);                           \
  }                                                                                                                   \
  EXPORT(sgd_step_##S)                                                                                                \
  KERNEL sgd_squares_##S(const T* x, double* parts, long long count) { sgd_squares(x, parts, count); }                \
  EXPORT(sgd_squares_##S)
FOR_FLOATS(SGD)
