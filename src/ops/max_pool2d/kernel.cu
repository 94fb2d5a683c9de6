// Max pool. The gradient looks for the maximum of the windows around a pixel again: a sum in a fixed order, without
// indices that would have to be kept.
#include "../device/kernel.cuh"

namespace {

// Sizes of one plane, and of the windows along both axes.
struct Pool {
  int height, width, out_height, out_width, kernel, stride, padding;

  // Pixel of the first maximum of a window; NaN is larger than numbers.
  template <class T> __device__ int maximum(const T* x, int row, int column) const {
    typedef Accum<T> A;
    int top = row * stride - padding, left = column * stride - padding;
    int bottom = min(top + kernel, height), right = min(left + kernel, width);
    top = max(top, 0);
    left = max(left, 0);
    int best = top * width + left;
    A best_value = load(x, best);
    for (int i = top; i < bottom; ++i)
      for (int j = left; j < right; ++j) {
        A value = load(x, i * width + j);
        if (value > best_value || (value != value && best_value == best_value)) {
          best = i * width + j;
          best_value = value;
        }
      }
    return best;
  }

  // The windows that hold a position: from `first` to before `end`.
  __device__ int first(int position) const {
    int start = position + padding - kernel + 1;
    return start <= 0 ? 0 : (start + stride - 1) / stride;
  }
  __device__ int end(int position, int out) const { return min((position + padding) / stride + 1, out); }
};

}  // namespace

template <class T> __device__ void max_pool(const T* x, T* y, int maps, Pool pool) {
  int positions = pool.out_height * pool.out_width;
  for (int map = blockIdx.y; map < maps; map += gridDim.y) {
    const T* plane = x + (long long)map * pool.height * pool.width;
    T* result = y + (long long)map * positions;
    for (int i = (int)first_item(); i < positions; i += (int)item_stride())
      result[i] = plane[pool.maximum(plane, i / pool.out_width, i % pool.out_width)];
  }
}

template <class T>
__device__ void max_pool_gradient(const T* x, const T* grad, T* result, int maps, Pool pool) {
  int pixels = pool.height * pool.width;
  for (int map = blockIdx.y; map < maps; map += gridDim.y) {
    const T* plane = x + (long long)map * pixels;
    const T* of_plane = grad + (long long)map * pool.out_height * pool.out_width;
    for (int pixel = (int)first_item(); pixel < pixels; pixel += (int)item_stride()) {
      int row = pixel / pool.width, column = pixel % pool.width;
      Accum<T> sum = 0;
      for (int above = pool.first(row); above < pool.end(row, pool.out_height); ++above)
        for (int before = pool.first(column); before < pool.end(column, pool.out_width); ++before)
          if (pool.maximum(plane, above, before) == pixel) sum += load(of_plane, above * pool.out_width + before);
      store(result, (long long)map * pixels + pixel, sum);
    }
  }
}

#define MAX_POOL(T, S)                                                                                               \
  KERNEL max_pool_##S(const T* x, T* y, int maps, int height, int width, int out_height, int out_width,       \
                      int kernel, int stride, int padding) {                                                         \
    max_pool(x, y, maps, Pool{height, width, out_height, out_width, kernel, stride, padding});                      \
  }                                                                                                                  \
  EXPORT(max_pool_##S)                                                                                               \
  KERNEL max_pool_gradient_##S(const T* x, const T* grad, T* result, int maps, int height, int width,         \
                               int out_height, int out_width, int kernel, int stride, int padding) {                 \
    max_pool_gradient(x, grad, result, maps, Pool{height, width, out_height, out_width, kernel, stride, padding});  \
  }                                                                                                                  \
  EXPORT(max_pool_gradient_##S)
FOR_FLOATS(MAX_POOL)
