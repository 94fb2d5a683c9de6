// Convolutions computed directly, for any sizes and types: where cuDNN is not there, and for one channel a group, where
// there is no matrix to multiply by.
#include "../device/kernel.cuh"

namespace {

// Channels are those of one group.
struct Sizes {
  int images, groups, inputs, outputs, height, width, kernel_height, kernel_width, out_height, out_width;
  int stride, padding, dilation;

  // The input position under a tap, which may be outside of the map.
  __device__ int source(int out, int tap) const { return out * stride + tap * dilation - padding; }
  // The output position that reads a position by a tap, or -1.
  __device__ int reader(int position, int tap, int out) const {
    int from = position + padding - tap * dilation;
    return from >= 0 && from % stride == 0 && from / stride < out ? from / stride : -1;
  }
};

}  // namespace

// One map of the result, a thread per position.
template <class T> __device__ void conv2d_map(const T* x, const T* weight, T* y, int map, Sizes s) {
  int taps = s.kernel_height * s.kernel_width, positions = s.out_height * s.out_width;
  for (int i = (int)first_item(); i < positions; i += (int)item_stride()) {
    int column = i % s.out_width, row = i / s.out_width;
    const T* weights = weight + (long long)(map % (s.groups * s.outputs)) * s.inputs * taps;
    const T* plane = x + (long long)(map / s.outputs) * s.inputs * s.height * s.width;
    Accum<T> sum = 0;
    for (int input = 0; input < s.inputs; ++input, plane += s.height * s.width, weights += taps)
      for (int vertical = 0; vertical < s.kernel_height; ++vertical) {
        int source_row = s.source(row, vertical);
        if (source_row < 0 || source_row >= s.height) continue;
        for (int horizontal = 0; horizontal < s.kernel_width; ++horizontal) {
          int source_column = s.source(column, horizontal);
          if (source_column < 0 || source_column >= s.width) continue;
          sum += load(plane, source_row * s.width + source_column) * load(weights, vertical * s.kernel_width + horizontal);
        }
      }
    store(y, (long long)map * positions + i, sum);
  }
}

// One map of the input, a thread per pixel.
template <class T> __device__ void conv2d_input_map(const T* grad, const T* weight, T* result, int map, Sizes s) {
  int taps = s.kernel_height * s.kernel_width, positions = s.out_height * s.out_width, pixels = s.height * s.width;
  int input = map % s.inputs, group = map / s.inputs % s.groups;
  for (int i = (int)first_item(); i < pixels; i += (int)item_stride()) {
    int column = i % s.width, row = i / s.width;
    const T* weights = weight + ((long long)group * s.outputs * s.inputs + input) * taps;
    const T* plane = grad + (long long)(map / s.inputs) * s.outputs * positions;
    Accum<T> sum = 0;
    for (int output = 0; output < s.outputs; ++output, plane += positions, weights += s.inputs * taps)
      for (int vertical = 0; vertical < s.kernel_height; ++vertical) {
        int out_row = s.reader(row, vertical, s.out_height);
        if (out_row < 0) continue;
        for (int horizontal = 0; horizontal < s.kernel_width; ++horizontal) {
          int out_column = s.reader(column, horizontal, s.out_width);
          if (out_column < 0) continue;
          sum += load(plane, out_row * s.out_width + out_column) * load(weights, vertical * s.kernel_width + horizontal);
        }
      }
    store(result, (long long)map * pixels + i, sum);
  }
}

template <class T> __device__ void conv2d(const T* x, const T* weight, T* y, long long maps, Sizes s) {
  for (int map = blockIdx.y; map < maps; map += gridDim.y) conv2d_map(x, weight, y, map, s);
}

template <class T> __device__ void conv2d_input(const T* grad, const T* weight, T* result, long long maps, Sizes s) {
  for (int map = blockIdx.y; map < maps; map += gridDim.y) conv2d_input_map(grad, weight, result, map, s);
}

// A warp per weight; its threads share the positions. All counts are those of what the grid runs over.
template <class T> __device__ void conv2d_weight(const T* x, const T* grad, T* result, long long count, Sizes s) {
  int taps = s.kernel_height * s.kernel_width, positions = s.out_height * s.out_width, pixels = s.height * s.width;
  int lane = threadIdx.x % 32;
  for (long long i = first_item() / 32; i < count; i += item_stride() / 32) {
    int tap = (int)(i % taps), input = (int)(i / taps % s.inputs);
    long long output = i / taps / s.inputs;
    int vertical = tap / s.kernel_width, horizontal = tap % s.kernel_width;
    Accum<T> sum = 0;
    for (int image = 0; image < s.images; ++image) {
      const T* of_output = grad + ((long long)image * s.groups * s.outputs + output) * positions;
      const T* of_input = x + (((long long)image * s.groups + output / s.outputs) * s.inputs + input) * pixels;
      for (int position = lane; position < positions; position += 32) {
        int row = s.source(position / s.out_width, vertical), column = s.source(position % s.out_width, horizontal);
        if (row >= 0 && row < s.height && column >= 0 && column < s.width)
          sum += load(of_output, position) * load(of_input, row * s.width + column);
      }
    }
    sum = over_warp<Sum>(sum);
    if (lane == 0) store(result, i, sum);
  }
}

#define CONV2D(NAME, T, S)                                                                                            \
  KERNEL NAME##_##S(const T* a, const T* b, T* result, long long count, int images, int groups, int inputs,           \
                    int outputs, int height, int width, int kernel_height, int kernel_width, int out_height,          \
                    int out_width, int stride, int padding, int dilation) {                                           \
    NAME(a, b, result, count, Sizes{images, groups, inputs, outputs, height, width, kernel_height, kernel_width,      \
                                    out_height, out_width, stride, padding, dilation});                               \
  }                                                                                                                   \
  EXPORT(NAME##_##S)
#define CONV2D_FORWARD(T, S) CONV2D(conv2d, T, S)
#define CONV2D_INPUT(T, S) CONV2D(conv2d_input, T, S)
#define CONV2D_WEIGHT(T, S) CONV2D(conv2d_weight, T, S)
FOR_FLOATS(CONV2D_FORWARD)
FOR_FLOATS(CONV2D_INPUT)
FOR_FLOATS(CONV2D_WEIGHT)
