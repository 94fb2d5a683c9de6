// Scores and labels of seeds.
#include "../device/kernel.cuh"
#include "../equivariance/bilinear.cuh"

// A block per plane. The samples of the plane are evaluated twice, once for its extrema.
template <class T>
__device__ void seed_scores(const T* cam, T* scores, long long planes, int classes, int h, int w, int height, int width,
                            double row_step, double column_step, double background, double eps) {
  typedef Accum<T> A;
  int pixels = height * width;
  A epsilon = A(eps);
  for (long long plane = blockIdx.x; plane < planes; plane += gridDim.x) {
    const T* map = cam + plane * h * w;
    T* result = scores + plane * pixels;
    if (plane % classes == classes - 1) {
      for (int p = threadIdx.x; p < pixels; p += blockDim.x) store(result, p, A(background));
      continue;
    }
    A most = 0, least = 0;
    for (int p = threadIdx.x, first = p; p < pixels; p += blockDim.x) {
      A value = rectified(sample(map, w, tap<A>(h, row_step, p / width), tap<A>(w, column_step, p % width)));
      most = larger(most, value);
      least = p == first ? value : smaller(least, value);
    }
    // A thread without a pixel knows nothing of the smallest.
    most = over_block<Largest>(most);
    least = over_block<Smallest>((int)threadIdx.x < pixels ? least : most);
    A span = (most - least) + epsilon, threshold = least + epsilon;
    for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
      A value = rectified(sample(map, w, tap<A>(h, row_step, p / width), tap<A>(w, column_step, p % width)));
      store(result, p, ((value >= threshold ? value : A(0)) - threshold) / span);
    }
  }
}

// A thread per pixel. `mask` says which foreground classes an image has; those it has not count as 0.
template <class T>
__device__ void best_class(const T* scores, const float* mask, unsigned* best, long long images, int classes, int pixels) {
  typedef Accum<T> A;
  for (long long i = first_item(); i < images * pixels; i += item_stride()) {
    long long image = i / pixels;
    const T* of_pixel = scores + image * classes * pixels + i % pixels;
    const float* has = mask + image * (classes - 1);
    A most = 0;
    int winner = 0;
    for (int c = 0; c < classes; ++c) {
      A value = c == classes - 1 || has[c] != 0 ? load(of_pixel, (long long)c * pixels) : A(0);
      if (c == 0 || value > most) most = value, winner = c;
    }
    best[i] = winner;
  }
}

#define SEEDS(T, S)                                                                                               \
  KERNEL seed_scores_##S(const T* cam, T* scores, long long planes, int classes, int h, int w, int height,        \
                         int width, double row_step, double column_step, double background, double eps) {         \
    seed_scores(cam, scores, planes, classes, h, w, height, width, row_step, column_step, background, eps);       \
  }                                                                                                               \
  EXPORT(seed_scores_##S)                                                                                         \
  KERNEL best_class_##S(const T* scores, const float* mask, unsigned* best, long long images, int classes,        \
                        int pixels) {                                                                             \
    best_class(scores, mask, best, images, classes, pixels);                                                      \
  }                                                                                                               \
  EXPORT(best_class_##S)
FOR_FLOATS(SEEDS)
