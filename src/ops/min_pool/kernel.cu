// Min-pooling loss and its gradient, from the maps as the network makes them.
#include "../device/kernel.cuh"
#include "../equivariance/bilinear.cuh"
#include "../equivariance/select.cuh"

// Blocks: pixels, images. The largest enlarged value of every pixel and the first class that has it; 0 where it is below.
template <class T>
__device__ void strongest(const T* map, const float* mask, T* values, unsigned* winners, int classes, int h, int w, int height,
                          int width, double row_step, double column_step) {
  long long image = blockIdx.y;
  const float* has = mask + image * (classes - 1);
  map += image * classes * h * w;
  for (int p = (int)first_item(); p < height * width; p += (int)item_stride()) {
    Tap<T> row = tap<T>(h, row_step, p / width), column = tap<T>(w, column_step, p % width);
    T most = 0;
    int winner = 0;
    for (int c = 0; c < classes - 1; ++c) {
      if (has[c] == 0) continue;
      T value = sample(map + (long long)c * h * w, w, row, column);
      if (value > most) most = value, winner = c;
    }
    values[image * height * width + p] = most;
    winners[image * height * width + p] = winner;
  }
}

// A block per image.
template <class T>
__device__ void smallest(const T* values, T* cut_values, int* cut_ties, T* sums, int pixels, int k) {
  const T* of_image = values + (long long)blockIdx.x * pixels;
  Cut<T> cut = {T(INFINITY), pixels};
  if (k < pixels) cut = cut_at(of_image, pixels, k, false);
  T sum = sum_of_chosen(of_image, pixels, cut, false);
  if (threadIdx.x == 0) cut_values[blockIdx.x] = cut.value, cut_ties[blockIdx.x] = cut.ties, sums[blockIdx.x] = sum;
}

// One block.
template <class T> __device__ void add_up(const T* sums, int count, T* term, double scale) {
  T sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += sums[i];
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) term[0] = T(sum * scale);
}

// Blocks: pixels of a map, classes, images. Every pixel of a map gathers what chosen pixels owe it.
template <class T>
__device__ void gradient(const T* values, const unsigned* winners, const float* mask, const T* cut_values, const int* cut_ties,
                         T* result, int h, int w, int height, int width, double row_step, double column_step, double scale) {
  unsigned c = blockIdx.y, background = gridDim.y - 1;
  long long image = blockIdx.z;
  result += (image * gridDim.y + c) * h * w;
  bool is_used = c != background && mask[image * background + c] != 0;
  Cut<T> cut = {cut_values[image], cut_ties[image]};
  values += image * height * width;
  winners += image * height * width;
  for (int pixel = (int)first_item(); pixel < h * w; pixel += (int)item_stride()) {
    T sum = 0;
    if (is_used && cut.value > 0) {
      int y = pixel / w, x = pixel % w;
      Range rows = touching(y, y, row_step, height), columns = touching(x, x, column_step, width);
      for (int i = rows.from; i <= rows.to; ++i) {
        T row_share = tap<T>(h, row_step, i).share(y);
        if (row_share == 0) continue;
        for (int j = columns.from; j <= columns.to; ++j) {
          int p = i * width + j;
          if (winners[p] != c || values[p] <= 0 || !is_chosen(cut, values[p], p, false)) continue;
          sum += row_share * tap<T>(w, column_step, j).share(x);
        }
      }
    }
    result[pixel] = sum * T(scale);
  }
}

#define MIN_POOL(T, S)                                                                                              \
  KERNEL min_pool_strongest_##S(const T* map, const float* mask, T* values, unsigned* winners, int classes, int h,  \
                                int w, int height, int width, double row_step, double column_step) {                \
    strongest(map, mask, values, winners, classes, h, w, height, width, row_step, column_step);                     \
  }                                                                                                                 \
  EXPORT(min_pool_strongest_##S)                                                                                    \
  KERNEL min_pool_smallest_##S(const T* values, T* cut_values, int* cut_ties, T* sums, int pixels, int k) {         \
    smallest(values, cut_values, cut_ties, sums, pixels, k);                                                        \
  }                                                                                                                 \
  EXPORT(min_pool_smallest_##S)                                                                                     \
  KERNEL min_pool_sum_##S(const T* sums, int count, T* term, double scale) { add_up(sums, count, term, scale); }    \
  EXPORT(min_pool_sum_##S)                                                                                          \
  KERNEL min_pool_gradient_##S(const T* values, const unsigned* winners, const float* mask, const T* cut_values,    \
                               const int* cut_ties, T* result, int h, int w, int height, int width,                 \
                               double row_step, double column_step, double scale) {                                 \
    gradient(values, winners, mask, cut_values, cut_ties, result, h, w, height, width, row_step, column_step, scale); \
  }                                                                                                                 \
  EXPORT(min_pool_gradient_##S)
FOR_SUMS(MIN_POOL)
