// Scale and shift per channel, and the gradients.
#include "../device/kernel.cuh"

// x scale + shift; where `relu`, negative results become 0 and NaN passes.
template <class T>
__device__ void affine(const T* x, const T* scale, const T* shift, T* y, int maps, int channels, int plane, int relu) {
  typedef Accum<T> A;
  for (int map = blockIdx.y; map < maps; map += gridDim.y) {
    A by = load(scale, map % channels), plus = load(shift, map % channels);
    long long start = (long long)map * plane;
    for (long long i = first_item(); i < plane; i += item_stride()) {
      A value = load(x, start + i) * by + plus;
      store(y, start + i, relu && value < 0 ? A(0) : value);
    }
  }
}

// The sign of the result tells where the gradient passes.
template <class T>
__device__ void affine_input(const T* y, const T* scale, const T* grad, T* result, int maps, int channels, int plane,
                             int relu) {
  typedef Accum<T> A;
  for (int map = blockIdx.y; map < maps; map += gridDim.y) {
    A by = load(scale, map % channels);
    long long start = (long long)map * plane;
    for (long long i = first_item(); i < plane; i += item_stride()) {
      bool stopped = relu && load(y, start + i) <= 0;
      store(result, start + i, stopped ? A(0) : load(grad, start + i) * by);
    }
  }
}

// Sums over every `gridDim.y`-th image, a block per channel and such a run of images: (run, 2, channel).
template <class T>
__device__ void affine_parameters(const T* x, const T* y, const T* grad, Accum<T>* parts, int images, int channels,
                                  int plane, int relu) {
  typedef Accum<T> A;
  for (int channel = blockIdx.x; channel < channels; channel += gridDim.x) {
    A scale = 0, shift = 0;
    for (int image = blockIdx.y; image < images; image += gridDim.y) {
      long long start = ((long long)image * channels + channel) * plane;
      for (int pixel = threadIdx.x; pixel < plane; pixel += blockDim.x) {
        long long i = start + pixel;
        if (relu && load(y, i) <= 0) continue;
        A value = load(grad, i);
        scale += value * load(x, i);
        shift += value;
      }
    }
    scale = over_block<Sum>(scale);
    shift = over_block<Sum>(shift);
    if (threadIdx.x == 0) {
      A* part = parts + (long long)blockIdx.y * 2 * channels;
      part[channel] = scale;
      part[channels + channel] = shift;
    }
  }
}

// The sum of the runs.
template <class T> __device__ void affine_sum(const Accum<T>* parts, T* result, int runs, int count) {
  for (long long i = first_item(); i < count; i += item_stride()) {
    Accum<T> sum = 0;
    for (int run = 0; run < runs; ++run) sum += parts[(long long)run * count + i];
    store(result, i, sum);
  }
}

#define AFFINE(T, S)                                                                                                 \
  KERNEL affine_##S(const T* x, const T* scale, const T* shift, T* y, int maps, int channels, int plane,      \
                    int relu) {                                                                                      \
    affine(x, scale, shift, y, maps, channels, plane, relu);                                                        \
  }                                                                                                                  \
  EXPORT(affine_##S)                                                                                                 \
  KERNEL affine_input_##S(const T* y, const T* scale, const T* grad, T* result, int maps, int channels,       \
                          int plane, int relu) {                                                                     \
    affine_input(y, scale, grad, result, maps, channels, plane, relu);                                              \
  }                                                                                                                  \
  EXPORT(affine_input_##S)                                                                                           \
  KERNEL affine_parameters_##S(const T* x, const T* y, const T* grad, Accum<T>* parts, int images, int channels,     \
                               int plane, int relu) {                                                                \
    affine_parameters(x, y, grad, parts, images, channels, plane, relu);                                             \
  }                                                                                                                  \
  EXPORT(affine_parameters_##S)                                                                                      \
  KERNEL affine_sum_##S(const Accum<T>* parts, T* result, int runs, int count) { affine_sum(parts, result, runs, count); } \
  EXPORT(affine_sum_##S)
FOR_FLOATS(AFFINE)
