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

template <class T> __device__ void max_pool(const T* x, T* y, long long count, Pool pool) {
  int positions = pool.out_height * pool.out_width;
  for (long long i = first_item(); i < count; i += item_stride()) {
    int position = (int)(i % positions);
    const T* plane = x + i / positions * pool.height * pool.width;
    y[i] = plane[pool.maximum(plane, position / pool.out_width, position % pool.out_width)];
  }
}

template <class T>
__device__ void max_pool_gradient(const T* x, const T* grad, T* result, long long count, Pool pool) {
  int pixels = pool.height * pool.width;
  for (long long i = first_item(); i < count; i += item_stride()) {
    int pixel = (int)(i % pixels), row = pixel / pool.width, column = pixel % pool.width;
    const T* plane = x + i / pixels * pixels;
    const T* of_plane = grad + i / pixels * pool.out_height * pool.out_width;
    Accum<T> sum = 0;
    for (int above = pool.first(row); above < pool.end(row, pool.out_height); ++above)
      for (int before = pool.first(column); before < pool.end(column, pool.out_width); ++before)
        if (pool.maximum(plane, above, before) == pixel) sum += load(of_plane, above * pool.out_width + before);
    store(result, i, sum);
  }
}

#define MAX_POOL(T, S)                                                                                               \
  KERNEL max_pool_##S(const T* x, T* y, long long count, int height, int width, int out_height, int out_width,       \
                      int kernel, int stride, int padding) {                                                         \
    max_pool(x, y, count, Pool{height, width, out_height, out_width, kernel, stride, padding});                      \
  }                                                                                                                  \
  EXPORT(max_pool_##S)                                                                                               \
  KERNEL max_pool_gradient_##S(const T* x, const T* grad, T* result, long long count, int height, int width,         \
                               int out_height, int out_width, int kernel, int stride, int padding) {                 \
    max_pool_gradient(x, grad, result, count, Pool{height, width, out_height, out_width, kernel, stride, padding});  \
  }                                                                                                                  \
  EXPORT(max_pool_gradient_##S)
FOR_FLOATS(MAX_POOL)
