// Maps by their largest and smallest value, and the gradient. A block per plane.
#include "../device/kernel.cuh"
#include "../equivariance/bilinear.cuh"

// Largest and smallest value of a plane and the first pixels that have them; the same in all threads.
template <class A> struct PlaneExtent { A most, least; int most_at, least_at; };
template <class T> __device__ PlaneExtent<Accum<T>> plane_extent(const T* plane, int pixels) {
  typedef Accum<T> A;
  A most = load(plane, 0), least = most;
  int most_at = (int)threadIdx.x < pixels ? threadIdx.x : 0x7ffffffe, least_at = most_at;
  for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
    A value = load(plane, p);
    if (value > most || p == (int)threadIdx.x) most = value, most_at = p;
    if (value < least || p == (int)threadIdx.x) least = value, least_at = p;
  }
  first_of_block<Largest>(most, most_at);
  first_of_block<Smallest>(least, least_at);
  return PlaneExtent<A>{rectified(most), rectified(least), most > 0 ? most_at : -1, least > 0 ? least_at : -1};
}

template <class T> __device__ void max_norm(const T* x, T* y, long long planes, int pixels, double eps) {
  typedef Accum<T> A;
  for (long long plane = blockIdx.x; plane < planes; plane += gridDim.x) {
    const T* values = x + plane * pixels;
    PlaneExtent<A> extent = plane_extent(values, pixels);
    A span = (extent.most - extent.least) + A(eps);
    for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
      store(y, plane * pixels + p, above_least(load(values, p), extent.least, A(eps)) / span);
    }
  }
}

template <class T> __device__ void min_max_norm(const T* x, T* y, long long planes, int pixels, double eps) {
  typedef Accum<T> A;
  for (long long plane = blockIdx.x; plane < planes; plane += gridDim.x) {
    const T* values = x + plane * pixels;
    PlaneExtent<A> extent = plane_extent(values, pixels);
    A span = (extent.most - extent.least) + A(eps), threshold = extent.least + A(eps);
    for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
      A value = rectified(load(values, p));
      store(y, plane * pixels + p, ((value >= threshold ? value : A(0)) - threshold) / span);
    }
  }
}

template <class T>
__device__ void max_norm_gradient(const T* x, const T* grad, T* result, long long planes, int pixels, double eps) {
  typedef Accum<T> A;
  for (long long plane = blockIdx.x; plane < planes; plane += gridDim.x) {
    const T* values = x + plane * pixels;
    const T* slopes = grad + plane * pixels;
    PlaneExtent<A> extent = plane_extent(values, pixels);
    A span = (extent.most - extent.least) + A(eps), active = 0, along = 0;
    for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
      A above = above_least(load(values, p), extent.least, A(eps));
      A part = above > 0 ? load(slopes, p) / span : A(0);
      active += part;
      along += part * above;
    }
    active = over_block<Sum>(active);
    along = over_block<Sum>(along) / span;
    for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
      A part = above_least(load(values, p), extent.least, A(eps)) > 0 ? load(slopes, p) / span : A(0);
      if (p == extent.most_at) part -= along;
      if (p == extent.least_at) part += along - active;
      store(result, plane * pixels + p, part);
    }
  }
}

#define NORMALIZE(T, S)                                                                                       \
  KERNEL max_norm_##S(const T* x, T* y, long long planes, int pixels, double eps) {                           \
    max_norm(x, y, planes, pixels, eps);                                                                      \
  }                                                                                                           \
  EXPORT(max_norm_##S)                                                                                        \
  KERNEL min_max_norm_##S(const T* x, T* y, long long planes, int pixels, double eps) {                       \
    min_max_norm(x, y, planes, pixels, eps);                                                                  \
  }                                                                                                           \
  EXPORT(min_max_norm_##S)                                                                                    \
  KERNEL max_norm_gradient_##S(const T* x, const T* grad, T* y, long long planes, int pixels, double eps) {   \
    max_norm_gradient(x, grad, y, planes, pixels, eps);                                                       \
  }                                                                                                           \
  EXPORT(max_norm_gradient_##S)
FOR_FLOATS(NORMALIZE)
