// Where the soft-max over the channels is above its mean over the image.
#include "../device/kernel.cuh"

// Largest score and sum of exponentials of each pixel: lines (2, images * pixels).
template <class T>
__device__ void lines(const T* scores, Accum<T>* lines, int images, int channels, int pixels) {
  typedef Accum<T> A;
  long long count = (long long)images * pixels;
  for (long long at = first_item(); at < count; at += item_stride()) {
    long long start = at / pixels * channels * pixels + at % pixels;
    A top = load(scores, start);
    for (int channel = 1; channel < channels; ++channel) {
      top = larger(top, load(scores, start + (long long)channel * pixels));
    }
    A sum = 0;
    for (int channel = 0; channel < channels; ++channel) {
      sum += exponential(load(scores, start + (long long)channel * pixels) - top);
    }
    lines[at] = top;
    lines[count + at] = sum;
  }
}

// A block per channel of an image. Above the mean, and above the smallest: the mean of equal numbers may, by rounding, be
// less than they are.
template <class T>
__device__ void masks(const T* scores, const Accum<T>* lines, unsigned* masks, int images, int channels, int pixels) {
  typedef Accum<T> A;
  const A* tops = lines + (long long)(blockIdx.x / channels) * pixels;
  const A* totals = tops + (long long)images * pixels;
  long long start = (long long)blockIdx.x * pixels;
  A sum = 0, least = INFINITY;
  for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
    A belief = exponential(load(scores, start + i) - tops[i]) / totals[i];
    sum += belief;
    least = smaller(least, belief);
  }
  A bound = larger(over_block<Sum>(sum) / A(pixels), over_block<Smallest>(least));
  for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
    masks[start + i] = exponential(load(scores, start + i) - tops[i]) / totals[i] > bound;
  }
}

#define REGIONS(T, S)                                                                                               \
  KERNEL region_lines_##S(const T* scores, Accum<T>* out, int images, int channels, int pixels) {                   \
    lines(scores, out, images, channels, pixels);                                                                   \
  }                                                                                                                 \
  EXPORT(region_lines_##S)                                                                                          \
  KERNEL region_masks_##S(const T* scores, const Accum<T>* of_pixels, unsigned* out, int images, int channels,      \
                          int pixels) {                                                                             \
    masks(scores, of_pixels, out, images, channels, pixels);                                                        \
  }                                                                                                                 \
  EXPORT(region_masks_##S)
FOR_FLOATS(REGIONS)
