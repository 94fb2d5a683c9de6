// Mean field of a fully connected CRF, every pair of pixels summed, for hard labels. Float32 whatever the image's type.
//
// Weights between pixels are made once an image; then one block each takes an image's labels of one view through all
// iterations. Labels that do not occur are interchangeable and share a channel, so a block works on as many channels as
// its labels have, plus one. Sums have one order.
#include "../device/kernel.cuh"

const int THREADS = 1024;

struct alignas(16) Four { float at[4]; };

// What images are, and what their weights are made of.
template <class T> struct Image {
  const T* values;  // (N, 3, h, w)
  Accum<T> std[3], mean[3];
  int width, pixels;
  float gaussian, space, colour;  // 1 / (2 σ²)

  // A channel of a pixel's colour, a whole number of levels. Multiplied and added as separate operations are, so that it
  // is the host's number before the truncation.
  __device__ __forceinline__ float level(long long image, int channel, int pixel) const {
    Accum<T> value = load(values, (image * 3 + channel) * pixels + pixel);
    value = times(plus(times(value, std[channel]), mean[channel]), Accum<T>(255));
    value = value > 0 ? value : Accum<T>(0);
    return float(int(value < 255 ? value : Accum<T>(255)));
  }

#ifdef WSSS_EMULATE
  template <class A> static A times(A a, A b) { return a * b; }
  template <class A> static A plus(A a, A b) { return a + b; }
#else
  static __device__ __forceinline__ float times(float a, float b) { return __fmul_rn(a, b); }
  static __device__ __forceinline__ double times(double a, double b) { return __dmul_rn(a, b); }
  static __device__ __forceinline__ float plus(float a, float b) { return __fadd_rn(a, b); }
  static __device__ __forceinline__ double plus(double a, double b) { return __dadd_rn(a, b); }
#endif

  __device__ __forceinline__ void colours(long long image, int pixel, float* rgb) const {
    for (int channel = 0; channel < 3; ++channel) rgb[channel] = level(image, channel, pixel);
  }

  // Both kernels between two pixels.
  __device__ __forceinline__ void kernels(const float* a, int i, const float* b, int j, float& of_space, float& of_both) const {
    float x = float(i % width - j % width), y = float(i / width - j / width);
    float distance = x * x + y * y, difference = 0;
    for (int channel = 0; channel < 3; ++channel) {
      float by = a[channel] - b[channel];
      difference += by * by;
    }
    of_space = expf(-distance * gaussian);
    of_both = expf(-(distance * space + difference * colour));
  }
};

template <class T>
__device__ Image<T> image_of(const T* values, double std0, double std1, double std2, double mean0, double mean1,
                             double mean2, int width, int pixels, double gaussian, double space, double colour) {
  typedef Accum<T> A;
  return Image<T>{values, {A(std0), A(std1), A(std2)}, {A(mean0), A(mean1), A(mean2)}, width, pixels,
                  float(gaussian), float(space), float(colour)};
}

// √(compat / row sum) of both kernels, (N, 2, P). Blocks: pixels, images.
template <class T>
__device__ void crf_scales(const Image<T>& image, float* scales, double gaussian_compat, double bilateral_compat) {
  int here = blockIdx.x;
  float own[3], other[3], of_space = 0, of_both = 0;
  image.colours(blockIdx.y, here, own);
  for (int there = threadIdx.x; there < image.pixels; there += blockDim.x) {
    float k_space, k_both;
    image.colours(blockIdx.y, there, other);
    image.kernels(own, here, other, there, k_space, k_both);
    of_space += k_space;
    of_both += k_both;
  }
  of_space = over_block<Sum>(of_space);
  of_both = over_block<Sum>(of_both);
  if (threadIdx.x != 0) return;
  float* at = scales + (long long)blockIdx.y * 2 * image.pixels + here;
  at[0] = sqrtf(float(gaussian_compat) / (of_space + 1e-20f));
  at[image.pixels] = sqrtf(float(bilateral_compat) / (of_both + 1e-20f));
}

// The weights, (N, P, P). Blocks: pixels, images.
template <class T> __device__ void crf_weights(const Image<T>& image, const float* scales, float* weights) {
  int here = blockIdx.x, pixels = image.pixels;
  scales += (long long)blockIdx.y * 2 * pixels;
  weights += ((long long)blockIdx.y * pixels + here) * pixels;
  float own[3], other[3];
  image.colours(blockIdx.y, here, own);
  for (int there = threadIdx.x; there < pixels; there += blockDim.x) {
    float k_space, k_both;
    image.colours(blockIdx.y, there, other);
    image.kernels(own, here, other, there, k_space, k_both);
    weights[there] = k_space * scales[here] * scales[there] + k_both * scales[pixels + here] * scales[pixels + there];
  }
}

// Messages of the pixels from `first` to `last` to pixel `to`, for WIDTH channels of `stride`.
template <int WIDTH>
__device__ __forceinline__ void messages(const float* weights, const float* beliefs, float* sums, int to, int first,
                                         int last, int pixels, int stride) {
  float sum[WIDTH];
#pragma unroll
  for (int c = 0; c < WIDTH; ++c) sum[c] = 0;
  for (int from = first; from < last; ++from) {
    float weight = weights[(long long)from * pixels + to];
    const Four* belief = reinterpret_cast<const Four*>(beliefs + (long long)from * stride);
#pragma unroll
    for (int c = 0; c < WIDTH; c += 4) {
      Four four = belief[c / 4];
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[c + i] += weight * four.at[i];
    }
  }
#pragma unroll
  for (int c = 0; c < WIDTH; ++c) sums[c] = sum[c];
}

// Labels of what is on a device are not checked.
__device__ __forceinline__ int label_at(const unsigned* labels, int pixel, int num_labels) {
  return labels[pixel] < (unsigned)num_labels ? (int)labels[pixel] : num_labels - 1;
}

// Numbers the labels that occur in their order, and returns how many there are. The lowest of the others comes behind them
// in `label_of`.
__device__ int channels_of(const unsigned* labels, int pixels, int num_labels, int* channel_of, int* label_of) {
  __shared__ int count;
  for (int label = threadIdx.x; label < num_labels; label += blockDim.x) channel_of[label] = -1;
  __syncthreads();
  for (int pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) channel_of[label_at(labels, pixel, num_labels)] = 0;
  __syncthreads();
  if (threadIdx.x == 0) {
    int present = 0, absent = -1;
    for (int label = 0; label < num_labels; ++label) {
      if (channel_of[label] == 0) {
        label_of[present] = label;
        channel_of[label] = present++;
      } else if (absent < 0) {
        absent = label;
      }
    }
    if (absent >= 0) label_of[present] = absent;
    count = present;
  }
  __syncthreads();
  return count;
}

// What all pixels think of their labels, from what they are told.
struct Pixels {
  const unsigned* labels;
  const int* channel_of;
  int pixels, num_labels, present, count, stride, parts;
  float given, other;

  // All messages, each sum in `parts` parts: threads of one pixel share the pixels that send.
  __device__ void listen(const float* weights, const float* beliefs, float* sums) const {
    for (int item = threadIdx.x; item < pixels * parts; item += blockDim.x) {
      int to = item % pixels, part = item / pixels;
      int first = (int)((long long)pixels * part / parts), last = (int)((long long)pixels * (part + 1) / parts);
      float* sum = sums + (long long)item * stride;
      if (stride == 4) messages<4>(weights, beliefs, sum, to, first, last, pixels, stride);
      for (int c = 0; stride > 4 && c < stride; c += 8) {
        messages<8>(weights, beliefs + c, sum + c, to, first, last, pixels, stride);
      }
    }
  }

  // softmax(-U + messages), counting every label that the last channel stands for.
  __device__ void decide(float* beliefs, const float* sums, bool heard) const {
    for (int pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) {
      int own = channel_of[label_at(labels, pixel, num_labels)];
      float* belief = beliefs + (long long)pixel * stride;
      float top = -1e30f, total = 0;
      for (int c = 0; c < count; ++c) {
        float score = c == own ? given : other;
        for (int part = 0; heard && part < parts; ++part) {
          score += sums[((long long)part * pixels + pixel) * stride + c];
        }
        belief[c] = score;
        top = larger(top, score);
      }
      for (int c = 0; c < count; ++c) {
        belief[c] = expf(belief[c] - top);
        total += belief[c] * (c < present ? 1.0f : float(num_labels - present));
      }
      for (int c = 0; c < stride; ++c) belief[c] = c < count ? belief[c] / total : 0.0f;
    }
  }
};

// Labels of one view of an image through all iterations. Blocks: views, images. What a block works on is in shared memory
// where `room` numbers are enough for it, else in its `part` of `scratch`, which is enough for any labels.
__device__ void crf_labels(const float* weights, const unsigned* source, const unsigned* target, unsigned* result,
                           float* scratch, long long part, int pixels, int num_labels, int iterations, double given,
                           double other, int room) {
  DYNAMIC_SHARED(float, shared);
  int* channel_of = reinterpret_cast<int*>(shared);
  int* label_of = channel_of + num_labels;
  const unsigned* labels = (blockIdx.x == 0 ? source : target) + (long long)blockIdx.y * pixels;
  weights += (long long)blockIdx.y * pixels * pixels;
  int present = channels_of(labels, pixels, num_labels, channel_of, label_of);
  int count = present + (present < num_labels);
  int stride = count <= 4 ? 4 : (count + 7) / 8 * 8;
  int parts = max((int)blockDim.x / pixels, 1);
  long long size = (long long)pixels * stride;
  float* own = shared + (2 * num_labels + 3) / 4 * 4;
  float* beliefs = (1 + parts) * size <= room ? own : scratch + ((long long)blockIdx.y * 2 + blockIdx.x) * part;
  float* sums = beliefs + size;
  Pixels all = {labels, channel_of, pixels, num_labels, present, count, stride, parts, float(given), float(other)};
  all.decide(beliefs, sums, false);
  __syncthreads();
  for (int iteration = 0; iteration < iterations; ++iteration) {
    all.listen(weights, beliefs, sums);
    __syncthreads();
    all.decide(beliefs, sums, true);
    __syncthreads();
  }
  result += ((long long)blockIdx.x * gridDim.y + blockIdx.y) * pixels;
  for (int pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) {
    const float* belief = beliefs + (long long)pixel * stride;
    int best = 0;
    for (int c = 1; c < count; ++c) {
      if (belief[c] > belief[best] || (belief[c] == belief[best] && label_of[c] < label_of[best])) best = c;
    }
    result[pixel] = label_of[best];
  }
}

KERNEL __launch_bounds__(THREADS)
    crf_labels_u32(const float* weights, const unsigned* source, const unsigned* target, unsigned* result, float* scratch,
                   unsigned long long part, int pixels, int num_labels, int iterations, double given, double other,
                   int room) {
  crf_labels(weights, source, target, result, scratch, part, pixels, num_labels, iterations, given, other, room);
}
EXPORT(crf_labels_u32)

#define IMAGE(T)                                                                                                        \
  const T *image, double std0, double std1, double std2, double mean0, double mean1, double mean2, int width,           \
      int pixels, double gaussian, double space, double colour
#define IMAGE_OF image_of(image, std0, std1, std2, mean0, mean1, mean2, width, pixels, gaussian, space, colour)
#define CRF(T, S)                                                                                            \
  KERNEL crf_scales_##S(IMAGE(T), float* scales, double gaussian_compat, double bilateral_compat) {          \
    crf_scales(IMAGE_OF, scales, gaussian_compat, bilateral_compat);                                         \
  }                                                                                                          \
  EXPORT(crf_scales_##S)                                                                                     \
  KERNEL crf_weights_##S(IMAGE(T), const float* scales, float* weights) {                                    \
    crf_weights(IMAGE_OF, scales, weights);                                                                  \
  }                                                                                                          \
  EXPORT(crf_weights_##S)
FOR_FLOATS(CRF)
