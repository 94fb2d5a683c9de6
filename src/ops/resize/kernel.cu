// Maps at another size. Gradients are gathered: every source pixel sums the outputs that read it, in their order.
#include "../device/kernel.cuh"

// The source positions of the outputs along one axis: `low` and the one after it, as far as there is one. In float64
// whatever the type of the map, in the order of PyTorch's operations.
template <class T>
__device__ void resize_taps(int* low, Accum<T>* high_weight, int input, int output, int aligned) {
  for (long long i = first_item(); i < output; i += item_stride()) {
    double position;
    if (aligned) position = output > 1 ? (double)(input - 1) / (double)(output - 1) * (double)i : 0.0;
    else position = larger((double)input / (double)output * ((double)i + 0.5) - 0.5, 0.0);
    int floor = min((int)position, input - 1);
    low[i] = floor;
    high_weight[i] = (Accum<T>)smaller(position - floor, 1.0);
  }
}

// Taps of rows and of columns.
template <class A> struct Taps {
  const int* low;
  const A* high_weight;
  int input, output;

  __device__ int high(int i) const { return min(low[i] + 1, input - 1); }
  __device__ A between(int i, A low_value, A high_value) const {
    return (1 - high_weight[i]) * low_value + high_weight[i] * high_value;
  }
  // How much of an output comes from a source position, if it reads it.
  __device__ A share(int i, int source) const {
    A sum = 0;
    if (low[i] == source) sum += 1 - high_weight[i];
    if (high(i) == source) sum += high_weight[i];
    return sum;
  }
  // The first output whose lower position is at least this one; positions ascend.
  __device__ int first_from(int source) const {
    int begin = 0, end = output;
    while (begin < end) {
      int middle = (begin + end) / 2;
      if (low[middle] < source) begin = middle + 1;
      else end = middle;
    }
    return begin;
  }
};

template <class T>
__device__ void resize_bilinear(const T* x, T* y, int maps, Taps<Accum<T>> rows, Taps<Accum<T>> columns) {
  typedef Accum<T> A;
  int pixels = rows.output * columns.output;
  for (int map = blockIdx.y; map < maps; map += gridDim.y) {
    const T* plane = x + (long long)map * rows.input * columns.input;
    for (int i = (int)first_item(); i < pixels; i += (int)item_stride()) {
      int column = i % columns.output, row = i / columns.output;
      int upper = rows.low[row] * columns.input, lower = rows.high(row) * columns.input;
      int left = columns.low[column], right = columns.high(column);
      A above = columns.between(column, load(plane, upper + left), load(plane, upper + right));
      A below = columns.between(column, load(plane, lower + left), load(plane, lower + right));
      store(y, (long long)map * pixels + i, rows.between(row, above, below));
    }
  }
}

template <class T>
__device__ void resize_bilinear_gradient(const T* grad, T* result, int maps, Taps<Accum<T>> rows, Taps<Accum<T>> columns) {
  typedef Accum<T> A;
  int pixels = rows.input * columns.input;
  for (int i = (int)first_item(); i < pixels; i += (int)item_stride()) {
    int column = i % columns.input, row = i / columns.input;
    // The same in all maps, so looked up once.
    int top = rows.first_from(row - 1), bottom = rows.first_from(row + 1);
    int left = columns.first_from(column - 1), right = columns.first_from(column + 1);
    for (int map = blockIdx.y; map < maps; map += gridDim.y) {
      const T* plane = grad + (long long)map * rows.output * columns.output;
      A sum = 0;
      for (int above = top; above < bottom; ++above) {
        A of_row = 0;
        for (int before = left; before < right; ++before)
          of_row += load(plane, above * columns.output + before) * columns.share(before, column);
        sum += of_row * rows.share(above, row);
      }
      store(result, (long long)map * pixels + i, sum);
    }
  }
}

template <class T>
__device__ void resize_nearest(const T* x, T* y, int maps, int height, int width, int out_height, int out_width) {
  int pixels = out_height * out_width;
  for (int map = blockIdx.y; map < maps; map += gridDim.y)
    for (int i = (int)first_item(); i < pixels; i += (int)item_stride()) {
      long long row = (long long)(i / out_width) * height / out_height;
      long long column = (long long)(i % out_width) * width / out_width;
      y[(long long)map * pixels + i] = x[((long long)map * height + row) * width + column];
    }
}

// The first output whose source, floor(output input / out), is at least this one.
__device__ int first_nearest(long long source, int input, int out) { return (int)((source * out + input - 1) / input); }

template <class T>
__device__ void resize_nearest_gradient(const T* grad, T* result, int maps, int height, int width, int out_height,
                                        int out_width) {
  int pixels = height * width;
  for (int i = (int)first_item(); i < pixels; i += (int)item_stride()) {
    int column = i % width, row = i / width;
    int top = first_nearest(row, height, out_height), bottom = first_nearest(row + 1, height, out_height);
    int left = first_nearest(column, width, out_width), right = first_nearest(column + 1, width, out_width);
    for (int map = blockIdx.y; map < maps; map += gridDim.y) {
      const T* plane = grad + (long long)map * out_height * out_width;
      Accum<T> sum = 0;
      for (int above = top; above < bottom; ++above)
        for (int before = left; before < right; ++before) sum += load(plane, above * out_width + before);
      store(result, (long long)map * pixels + i, sum);
    }
  }
}

#define RESIZE(T, S)                                                                                                   \
  KERNEL resize_taps_##S(int* low, Accum<T>* high_weight, int input, int output, int aligned) {                        \
    resize_taps<T>(low, high_weight, input, output, aligned);                                                          \
  }                                                                                                                    \
  EXPORT(resize_taps_##S)                                                                                              \
  KERNEL resize_bilinear_##S(const T* x, T* y, int maps, const int* row_low, const Accum<T>* row_weight,        \
                             int height, int out_height, const int* column_low, const Accum<T>* column_weight,         \
                             int width, int out_width) {                                                               \
    resize_bilinear(x, y, maps, Taps<Accum<T>>{row_low, row_weight, height, out_height},                              \
                    Taps<Accum<T>>{column_low, column_weight, width, out_width});                                      \
  }                                                                                                                    \
  EXPORT(resize_bilinear_##S)                                                                                          \
  KERNEL resize_bilinear_gradient_##S(const T* grad, T* result, int maps, const int* row_low,                   \
                                      const Accum<T>* row_weight, int height, int out_height, const int* column_low,   \
                                      const Accum<T>* column_weight, int width, int out_width) {                       \
    resize_bilinear_gradient(grad, result, maps, Taps<Accum<T>>{row_low, row_weight, height, out_height},             \
                             Taps<Accum<T>>{column_low, column_weight, width, out_width});                             \
  }                                                                                                                    \
  EXPORT(resize_bilinear_gradient_##S)                                                                                 \
  KERNEL resize_nearest_##S(const T* x, T* y, int maps, int height, int width, int out_height, int out_width) { \
    resize_nearest(x, y, maps, height, width, out_height, out_width);                                                 \
  }                                                                                                                    \
  EXPORT(resize_nearest_##S)                                                                                           \
  KERNEL resize_nearest_gradient_##S(const T* grad, T* result, int maps, int height, int width,                 \
                                     int out_height, int out_width) {                                                  \
    resize_nearest_gradient(grad, result, maps, height, width, out_height, out_width);                                \
  }                                                                                                                    \
  EXPORT(resize_nearest_gradient_##S)
FOR_FLOATS(RESIZE)
