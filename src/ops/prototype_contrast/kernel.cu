// Pixels against prototypes: losses of all terms, the sampling of pixels, weighted sums, and the gradient.
//
// A block takes tiles of 32 pixels, one for each lane; its warps share the rows of the logits, and nothing but losses and own
// logits leaves it. Reads the features once forward and twice backward, writes their gradient once.
#include "../device/kernel.cuh"

typedef unsigned long long u64;

const int LANES = 32;
const int WARPS = 8;
const int THREADS = LANES * WARPS;
// Rows of the product that a thread keeps in registers.
const int ROWS = 8;
// Terms of a launch.
const int TERMS = 4;

enum Weighting { UNIFORM, EACH, CLASSES };

// One term, unpacked from an argument: 8 bits set, 8 labels, 4 weighting, 4 flags, 8 sample, 16 first rank, 16 end.
struct Term {
  int set, labels, weighting, sample, first, end;
  bool is_mined, own_ranked, is_sampled, count_empty;
  const void* each;
};

#define TERM_PARAMETERS \
  u64 s0, u64 s1, u64 s2, u64 s3, const void *e0, const void *e1, const void *e2, const void *e3, int terms
#define TERM_ARGUMENTS s0, s1, s2, s3, e0, e1, e2, e3, terms

struct Terms {
  Term of[TERMS];
  int count;
  __device__ Terms(TERM_PARAMETERS) {
    const u64 packed[TERMS] = {s0, s1, s2, s3};
    const void* each[TERMS] = {e0, e1, e2, e3};
    count = terms;
    for (int t = 0; t < TERMS; ++t) {
      u64 bits = packed[t];
      Term& term = of[t];
      term.set = bits & 255, term.labels = bits >> 8 & 255, term.weighting = bits >> 16 & 15;
      term.is_mined = bits >> 20 & 1, term.own_ranked = bits >> 21 & 1;
      term.is_sampled = bits >> 22 & 1, term.count_empty = bits >> 23 & 1;
      term.sample = bits >> 24 & 255, term.first = bits >> 32 & 65535, term.end = bits >> 48;
      term.each = each[t];
    }
  }
};

struct Sizes {
  int dim, area, sets, classes;
  long long pixels;
  double temperature;
};

// The work of a block on one tile.
template <class T> struct Tile {
  typedef Accum<T> A;
  const Sizes& sizes;
  const unsigned char* allowed;
  A *logits, *partial;
  unsigned char* chosen;
  const T* features;
  int lane, warp, width;
  long long pixel;
  A inverse;
  bool is_zero;

  __device__ Tile(const Sizes& sizes, const unsigned char* allowed, A* memory, int matrices, long long tile,
                  const T* all_features)
      : sizes(sizes), allowed(allowed) {
    int rows = sizes.sets * sizes.classes, per_image = (sizes.area + LANES - 1) / LANES;
    long long image = tile / per_image;
    int start = tile % per_image * LANES;
    lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    width = min(LANES, sizes.area - start);
    pixel = image * sizes.area + start + lane;
    features = all_features + image * sizes.dim * sizes.area + start;
    logits = memory;
    partial = memory + (long long)matrices * rows * LANES;
    chosen = reinterpret_cast<unsigned char*>(partial + WARPS * LANES);
  }

  __device__ bool inside() const { return lane < width; }
  __device__ A feature(int channel) const {
    return inside() ? load(features, (long long)channel * sizes.area + lane) : A(0);
  }
  __device__ A& logit(int set, int c) { return logits[(set * sizes.classes + c) * LANES + lane]; }
  __device__ bool is_allowed(int c) const { return allowed == nullptr || allowed[c]; }

  // Sum over the warps of what each has for a pixel, in their order.
  __device__ A over_warps(A value) {
    partial[warp * LANES + lane] = value;
    __syncthreads();
    A sum = 0;
    for (int w = 0; w < WARPS; ++w) sum += partial[w * LANES + lane];
    __syncthreads();
    return sum;
  }

  __device__ void multiply(const T* prototypes) {
    A square = 0;
    for (int d = warp; d < sizes.dim; d += WARPS) square += feature(d) * feature(d);
    A norm = root(over_warps(square));
    is_zero = norm < A(1e-12);
    inverse = 1 / larger(norm, A(1e-12));
    int rows = sizes.sets * sizes.classes;
    A factor = inverse / A(sizes.temperature);
    for (int base = warp * ROWS; base < rows; base += WARPS * ROWS) {
      A sum[ROWS];
      for (int r = 0; r < ROWS; ++r) sum[r] = 0;
      for (int d = 0; d < sizes.dim; ++d) {
        A value = feature(d);
#pragma unroll
        for (int r = 0; r < ROWS; ++r) sum[r] += value * load(prototypes, (long long)min(base + r, rows - 1) * sizes.dim + d);
      }
      for (int r = 0; r < ROWS && base + r < rows; ++r) logits[(base + r) * LANES + lane] = sum[r] * factor;
    }
    __syncthreads();
  }

  // The pixel's class by a row of the labels; -1 for pixels that are left out.
  __device__ int label(const unsigned* labels, int row) const {
    if (!inside()) return -1;
    unsigned label = labels[row * sizes.pixels + pixel];
    return label < (unsigned)sizes.classes ? (int)label : -1;
  }

  // Marks the mined classes of every term.
  __device__ void mine(const Terms& terms, const unsigned* labels) {
    for (int t = 0; t < terms.count; ++t) {
      const Term& term = terms.of[t];
      if (!term.is_mined) continue;
      int own = label(labels, term.labels);
      for (int c = warp; c < sizes.classes; c += WARPS) {
        A value = logit(term.set, c);
        int rank = 0;
        for (int other = 0; other < sizes.classes; ++other) {
          if (!is_allowed(other) || (other == own && !term.own_ranked)) continue;
          A beside = logit(term.set, other);
          rank += beside > value || (beside == value && other < c);
        }
        bool is_ranked = is_allowed(c) && (c != own || term.own_ranked);
        chosen[(t * sizes.classes + c) * LANES + lane] = is_ranked && rank >= term.first && rank < term.end;
      }
    }
    __syncthreads();
  }

  // How often a class counts in the denominator.
  __device__ int count(const Term& term, int t, int own, int c) const {
    if (term.is_mined) return chosen[(t * sizes.classes + c) * LANES + lane] + (c == own);
    return is_allowed(c) || c == own;
  }

  // The denominator as sum * exp(top).
  __device__ void denominator(const Term& term, int t, int own, A& top, A& sum) {
    top = logit(term.set, own);
    for (int c = 0; c < sizes.classes; ++c) {
      if (count(term, t, own, c)) top = larger(top, logit(term.set, c));
    }
    sum = 0;
    for (int c = 0; c < sizes.classes; ++c) {
      int times = count(term, t, own, c);
      if (times) sum += times * exponential(logit(term.set, c) - top);
    }
  }
};

template <class A> __device__ A* work_memory(A* shared, A* scratch, long long elements) {
  return scratch == nullptr ? shared : scratch + blockIdx.x * elements;
}

// Losses and own logits, (terms, pixels) each.
template <class T>
__device__ void contrast_losses(Accum<T>* memory, const T* features, const T* prototypes, const unsigned* labels,
                                const unsigned char* allowed, Accum<T>* losses, Accum<T>* own_logits, const Sizes& sizes,
                                long long tiles, const Terms& terms) {
  typedef Accum<T> A;
  for (long long i = blockIdx.x; i < tiles; i += gridDim.x) {
    Tile<T> tile(sizes, allowed, memory, 1, i, features);
    tile.multiply(prototypes);
    tile.mine(terms, labels);
    for (int t = tile.warp; t < terms.count; t += WARPS) {
      const Term& term = terms.of[t];
      int own = tile.label(labels, term.labels);
      A loss = 0, similarity = 0;
      if (own >= 0) {
        A top, sum;
        tile.denominator(term, t, own, top, sum);
        similarity = tile.logit(term.set, own);
        loss = logarithm(sum) + (top - similarity);
      }
      if (tile.inside()) {
        losses[t * sizes.pixels + tile.pixel] = loss;
        own_logits[t * sizes.pixels + tile.pixel] = similarity;
      }
    }
    __syncthreads();
  }
}

// Pixels of each class, for every row of the labels: block (class, row).
__device__ void contrast_counts(const unsigned* labels, unsigned* counts, long long pixels, int classes) {
  int count = 0;
  for (long long p = threadIdx.x; p < pixels; p += blockDim.x) count += labels[blockIdx.y * pixels + p] == blockIdx.x;
  count = over_block<Sum>(count);
  if (threadIdx.x == 0) counts[blockIdx.y * classes + blockIdx.x] = count;
}

// What a term's pixels weigh.
template <class T> struct Weights {
  typedef Accum<T> A;
  const Term& term;
  const unsigned* counts;
  const T* times;
  long long pixels;
  int counted;

  // All threads of the block must come here. `times` are the rows of all sampled terms.
  __device__ Weights(const Term& term, const unsigned* all_counts, const T* all_times, long long pixels, int classes)
      : term(term), counts(all_counts + term.labels * classes), times(all_times + term.sample * pixels), pixels(pixels) {
    int mine = 0;
    if (term.weighting == CLASSES) {
      for (int c = threadIdx.x; c < classes; c += blockDim.x) {
        mine += term.count_empty ? counts[c] > 0 : chosen(c) > 0;
      }
    }
    counted = over_block<Sum>(mine);
  }

  __device__ Weights(const Term& term, const unsigned* all_counts, const T* all_times, const Sizes& sizes, int counted)
      : term(term), counts(all_counts + term.labels * sizes.classes), times(all_times + term.sample * sizes.pixels),
        pixels(sizes.pixels), counted(counted) {}

  __device__ unsigned chosen(int c) const { return term.is_sampled ? counts[c] / 2 * 2 : counts[c]; }

  __device__ A of(long long pixel, int label) const {
    if (label < 0) return 0;
    if (term.weighting == UNIFORM) return 1 / A(pixels);
    if (term.weighting == EACH) return load((const T*)term.each, pixel);
    if (chosen(label) == 0) return 0;
    A share = A(1.0 / ((double)chosen(label) * counted));
    return term.is_sampled ? share * load(times, pixel) : share;
  }
};

// The weighted sum of each term's losses: a block a term.
template <class T>
__device__ void contrast_values(const Accum<T>* losses, const unsigned* labels, const unsigned* counts, const T* times,
                                T* values, const Sizes& sizes, const Terms& terms) {
  int t = blockIdx.x;
  const Term& term = terms.of[t];
  Weights<T> weights(term, counts, times, sizes.pixels, sizes.classes);
  Accum<T> sum = 0;
  for (long long p = threadIdx.x; p < sizes.pixels; p += blockDim.x) {
    unsigned label = labels[term.labels * sizes.pixels + p];
    sum += losses[t * sizes.pixels + p] * weights.of(p, label < (unsigned)sizes.classes ? (int)label : -1);
  }
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) store(values, t, sum);
}

// Of the features: what they get from the terms of one launch, added to what is there from others.
template <class T>
__device__ void contrast_gradient(Accum<T>* memory, const T* features, const T* prototypes, const unsigned* labels,
                                  const unsigned char* allowed, const unsigned* counts, const T* grad, const T* times,
                                  T* result, const Sizes& sizes, long long tiles, int accumulate, const Terms& terms) {
  typedef Accum<T> A;
  int rows = sizes.sets * sizes.classes;
  A* gradient = memory + rows * LANES;
  __shared__ int counted[TERMS];
  for (int t = 0; t < terms.count; ++t) {
    Weights<T> weights(terms.of[t], counts, times, sizes.pixels, sizes.classes);
    if (threadIdx.x == 0) counted[t] = weights.counted;
  }
  __syncthreads();
  for (long long i = blockIdx.x; i < tiles; i += gridDim.x) {
    Tile<T> tile(sizes, allowed, memory, 2, i, features);
    tile.multiply(prototypes);
    tile.mine(terms, labels);
    int lane = tile.lane;
    // A set's rows are one warp's, so that terms add in their order.
    for (int set = tile.warp; set < sizes.sets; set += WARPS) {
      A* rows_of_set = gradient + set * sizes.classes * LANES + lane;
      for (int c = 0; c < sizes.classes; ++c) rows_of_set[c * LANES] = 0;
      for (int t = 0; t < terms.count; ++t) {
        const Term& term = terms.of[t];
        int own = tile.label(labels, term.labels);
        if (term.set != set || own < 0) continue;
        A weight = load(grad, t) * Weights<T>(term, counts, times, sizes, counted[t]).of(tile.pixel, own);
        if (weight == 0) continue;
        A top, sum;
        tile.denominator(term, t, own, top, sum);
        A factor = weight / sum;
        for (int c = 0; c < sizes.classes; ++c) {
          int count = tile.count(term, t, own, c);
          if (count) rows_of_set[c * LANES] += count * factor * exponential(tile.logit(set, c) - top);
        }
        rows_of_set[own * LANES] -= weight;
      }
    }
    __syncthreads();
    A along = 0;
    for (int r = tile.warp; r < rows; r += WARPS) along += gradient[r * LANES + lane] * tile.logits[r * LANES + lane];
    along = tile.over_warps(along) * tile.inverse * (tile.is_zero ? A(0) : tile.inverse);
    A scale = tile.inverse / A(sizes.temperature);
    T* written = result + (tile.features - features);
    for (int base = tile.warp * ROWS; base < sizes.dim; base += WARPS * ROWS) {
      A sum[ROWS];
      for (int d = 0; d < ROWS; ++d) sum[d] = 0;
      for (int r = 0; r < rows; ++r) {
        A value = gradient[r * LANES + lane];
#pragma unroll
        for (int d = 0; d < ROWS; ++d) sum[d] += value * load(prototypes, (long long)r * sizes.dim + min(base + d, sizes.dim - 1));
      }
      for (int d = 0; d < ROWS && base + d < sizes.dim && tile.inside(); ++d) {
        long long at = (long long)(base + d) * sizes.area + lane;
        A value = sum[d] * scale - tile.feature(base + d) * along;
        store(written, at, accumulate ? load(written, at) + value : value);
      }
    }
    __syncthreads();
  }
}

// ---- Which pixels of a class are chosen: a block a class ----

// SplitMix64, as on the host.
__device__ unsigned draw(u64 key, unsigned c, unsigned position) {
  u64 bits = key + (((u64)c << 32 | position) + 1) * 0x9e3779b97f4a7c15ull;
  bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9ull;
  bits = (bits ^ bits >> 27) * 0x94d049bb133111ebull;
  return (unsigned)((bits ^ bits >> 31) >> 32);
}

// Unsigned numbers in the order of floats, the two zeros equal, NaN above everything.
__device__ u64 in_order(float x) {
  unsigned bits = x != x ? 0x7fffffffu : __float_as_uint(x == 0 ? 0.0f : x);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ u64 in_order(double x) {
  u64 bits = x != x ? 0x7fffffffffffffffull : (u64)__double_as_longlong(x == 0 ? 0.0 : x);
  return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}

struct Draws {
  u64 key;
  unsigned c;
  static const int BYTES = 4;
  __device__ u64 operator()(unsigned position) const { return draw(key, c, position); }
};

template <class A> struct Similarities {
  const A* own;
  const unsigned* members;
  static const int BYTES = sizeof(A);
  __device__ u64 operator()(unsigned position) const { return in_order(own[members[position]]); }
};

// The last of so many smallest keys; of equal ones the lowest positions come first.
struct Cut {
  u64 key;
  unsigned position;
  bool is_empty;
  __device__ bool has(u64 other, unsigned at) const {
    return !is_empty && (other < key || (other == key && at <= position));
  }
};

// Byte by byte, from the highest of the key to the lowest of the position: counts of each byte among those that agree so far.
template <class Keys> __device__ Cut cut(const Keys& keys, unsigned len, unsigned amount) {
  __shared__ unsigned histogram[256];
  __shared__ unsigned found[3];
  Cut cut = {0, 0, amount == 0};
  if (amount == 0) return cut;
  for (int level = Keys::BYTES + 3; level >= 0; --level) {
    histogram[threadIdx.x] = 0;
    __syncthreads();
    int shift = 8 * (level < 4 ? level : level - 4);
    for (unsigned i = threadIdx.x; i < len; i += blockDim.x) {
      u64 key = keys(i);
      bool agrees = level >= 4 ? level == Keys::BYTES + 3 || key >> (shift + 8) == cut.key >> (shift + 8)
                               : key == cut.key && (level == 3 || i >> (shift + 8) == cut.position >> (shift + 8));
      if (agrees) atomicAdd(&histogram[(level >= 4 ? key : (u64)i) >> shift & 255], 1u);
    }
    __syncthreads();
    unsigned before = 0;
    for (unsigned byte = 0; byte < threadIdx.x; ++byte) before += histogram[byte];
    unsigned here = histogram[threadIdx.x];
    if (before < amount && amount <= before + here) found[0] = threadIdx.x, found[1] = before, found[2] = here;
    __syncthreads();
    if (level >= 4) cut.key |= (u64)found[0] << shift;
    else cut.position |= found[0] << shift;
    amount -= found[1];
    bool are_all_wanted = level == 4 && found[2] == amount;
    __syncthreads();
    if (are_all_wanted) {
      cut.position = 0xffffffffu;
      break;
    }
  }
  return cut;
}

// The positions of a class's pixels, ascending.
__device__ void gather_members(const unsigned* labels, unsigned c, long long pixels, unsigned* members) {
  __shared__ unsigned of_warp[WARPS];
  unsigned count = 0, lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
  for (long long base = 0; base < pixels; base += THREADS) {
    long long p = base + threadIdx.x;
    unsigned votes = __ballot_sync(0xffffffffu, p < pixels && labels[p] == c);
    if (lane == 0) of_warp[warp] = __popc(votes);
    __syncthreads();
    unsigned at = count + __popc(votes & ((1u << lane) - 1));
    for (unsigned w = 0; w < WARPS; ++w) {
      if (w < warp) at += of_warp[w];
      count += of_warp[w];
    }
    if (votes >> lane & 1) members[at] = (unsigned)p;
    __syncthreads();
  }
}

// How often each pixel is chosen. `members` is room for the pixels of all classes, one class behind the other.
template <class T>
__device__ void contrast_sample(const unsigned* labels, const Accum<T>* own, const unsigned* counts, unsigned* members,
                                T* times, long long pixels, int classes, double fraction, u64 key) {
  typedef Accum<T> A;
  unsigned c = blockIdx.x, start = 0, len = counts[c], amount = len / 2;
  for (unsigned before = 0; before < c; ++before) start += counts[before];
  members += start;
  gather_members(labels, c, pixels, members);
  if (c == 0) {
    for (long long p = threadIdx.x; p < pixels; p += blockDim.x) {
      if (labels[p] >= (unsigned)classes) store(times, p, A(0));
    }
  }
  unsigned hard = max((unsigned)(len * fraction), amount);
  Draws draws = {key, c};
  Similarities<A> similarities = {own, members};
  Cut random = cut(draws, len, amount);
  Cut hardest = cut(similarities, len, amount ? hard : 0);
  Cut skipped = cut(similarities, len, amount ? hard - amount : 0);
  for (unsigned i = threadIdx.x; i < len; i += blockDim.x) {
    u64 similarity = similarities(i);
    int is_hard = hardest.has(similarity, i) && !skipped.has(similarity, i);
    store(times, members[i], A(random.has(draws(i), i) + is_hard));
  }
}

KERNEL contrast_counts_u32(const unsigned* labels, unsigned* counts, u64 pixels, int classes) {
  contrast_counts(labels, counts, pixels, classes);
}
EXPORT(contrast_counts_u32)

#define SIZES_PARAMETERS u64 pixels, int dim, int area, int sets, int classes, double temperature
#define SIZES Sizes { dim, area, sets, classes, (long long)pixels, temperature }

#define CONTRAST(T, S)                                                                                               \
  KERNEL contrast_losses_##S(const T* features, const T* prototypes, const unsigned* labels,                         \
                             const unsigned char* allowed, Accum<T>* losses, Accum<T>* own, Accum<T>* scratch,       \
                             u64 elements, u64 tiles, SIZES_PARAMETERS, TERM_PARAMETERS) {                           \
    DYNAMIC_SHARED(Accum<T>, shared);                                                                                \
    contrast_losses<T>(work_memory<Accum<T>>(shared, scratch, elements), features, prototypes, labels, allowed,      \
                       losses, own, SIZES, tiles, Terms(TERM_ARGUMENTS));                                            \
  }                                                                                                                  \
  EXPORT(contrast_losses_##S)                                                                                        \
  KERNEL contrast_sample_##S(const unsigned* labels, const Accum<T>* own, const unsigned* counts, unsigned* members, \
                             T* times, u64 pixels, int classes, double fraction, u64 key) {                          \
    contrast_sample<T>(labels, own, counts, members, times, pixels, classes, fraction, key);                         \
  }                                                                                                                  \
  EXPORT(contrast_sample_##S)                                                                                        \
  KERNEL contrast_values_##S(const Accum<T>* losses, const unsigned* labels, const unsigned* counts, const T* times, \
                             T* values, SIZES_PARAMETERS, TERM_PARAMETERS) {                                         \
    contrast_values<T>(losses, labels, counts, times, values, SIZES, Terms(TERM_ARGUMENTS));                         \
  }                                                                                                                  \
  EXPORT(contrast_values_##S)                                                                                        \
  KERNEL contrast_gradient_##S(const T* features, const T* prototypes, const unsigned* labels,                       \
                               const unsigned char* allowed, const unsigned* counts, const T* grad, const T* times,  \
                               T* result, Accum<T>* scratch, u64 elements, u64 tiles, int accumulate,                \
                               SIZES_PARAMETERS, TERM_PARAMETERS) {                                                  \
    DYNAMIC_SHARED(Accum<T>, shared);                                                                                \
    contrast_gradient<T>(work_memory<Accum<T>>(shared, scratch, elements), features, prototypes, labels, allowed,    \
                         counts, grad, times, result, SIZES, tiles, accumulate, Terms(TERM_ARGUMENTS));              \
  }                                                                                                                  \
  EXPORT(contrast_gradient_##S)
FOR_FLOATS(CONTRAST)
