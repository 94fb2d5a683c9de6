// Means over enlarged maps: each pixel counts by its share in the enlarged ones. A block per plane.
#include "../device/kernel.cuh"
#include "../equivariance/bilinear.cuh"

// How much of the enlarged axis a position of the axis makes.
template <class A> __device__ A share_of(int position, int input, int output, double step) {
  Range range = touching(position, position, step, output);
  A sum = 0;
  for (int i = range.from; i <= range.to; ++i) sum += tap<A>(input, step, i).share(position);
  return sum / output;
}

// Shares of the rows, then of the columns, in shared memory.
template <class A>
__device__ void find_shares(A* shares, int h, int w, int height, int width, double row_step, double column_step) {
  for (int i = threadIdx.x; i < h + w; i += blockDim.x) {
    shares[i] = i < h ? share_of<A>(i, h, height, row_step) : share_of<A>(i - h, w, width, column_step);
  }
  __syncthreads();
}

template <class T>
__device__ void resized_mean(const T* x, T* y, Accum<T>* shares, long long planes, int h, int w, int height, int width,
                             double row_step, double column_step) {
  find_shares(shares, h, w, height, width, row_step, column_step);
  for (long long plane = blockIdx.x; plane < planes; plane += gridDim.x) {
    Accum<T> sum = 0;
    for (int p = threadIdx.x; p < h * w; p += blockDim.x) {
      sum += load(x, plane * h * w + p) * shares[p / w] * shares[h + p % w];
    }
    sum = over_block<Sum>(sum);
    if (threadIdx.x == 0) store(y, plane, sum);
  }
}

template <class T>
__device__ void resized_mean_gradient(const T* grad, T* y, Accum<T>* shares, long long planes, int h, int w, int height,
                                      int width, double row_step, double column_step) {
  find_shares(shares, h, w, height, width, row_step, column_step);
  for (long long plane = blockIdx.x; plane < planes; plane += gridDim.x) {
    for (int p = threadIdx.x; p < h * w; p += blockDim.x) {
      store(y, plane * h * w + p, load(grad, plane) * (shares[p / w] * shares[h + p % w]));
    }
  }
}

#define RESIZED_MEAN(T, S)                                                                                       \
  KERNEL resized_mean_##S(const T* x, T* y, long long planes, int h, int w, int height, int width,               \
                          double row_step, double column_step) {                                                 \
    DYNAMIC_SHARED(Accum<T>, shares);                                                                            \
    resized_mean(x, y, shares, planes, h, w, height, width, row_step, column_step);                              \
  }                                                                                                              \
  EXPORT(resized_mean_##S)                                                                                       \
  KERNEL resized_mean_gradient_##S(const T* grad, T* y, long long planes, int h, int w, int height, int width,   \
                                   double row_step, double column_step) {                                        \
    DYNAMIC_SHARED(Accum<T>, shares);                                                                            \
    resized_mean_gradient(grad, y, shares, planes, h, w, height, width, row_step, column_step);                  \
  }                                                                                                              \
  EXPORT(resized_mean_gradient_##S)
FOR_FLOATS(RESIZED_MEAN)
