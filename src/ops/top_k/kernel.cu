// Indices of the k best elements of each row, in order: by value, among equal ones by index.
//
// Elements are compared as unsigned keys whose order is that of the elements, larger is better. Short rows are sorted whole
// in shared memory. In long ones the k-th best key is found digit by digit with histograms; what is better than it, and as
// many of its equals as are missing, from the first on, are gathered and sorted.
#include "../device/kernel.cuh"

namespace {

// 8 bits at a time.
constexpr int BINS = 256;
constexpr unsigned NO_INDEX = 0xffffffffu;

__device__ unsigned bits_of(float x) { return __float_as_uint(x); }
__device__ unsigned long long bits_of(double x) { return (unsigned long long)__double_as_longlong(x); }

template <class A> struct KeyOf { typedef unsigned type; };
template <> struct KeyOf<double> { typedef unsigned long long type; };
template <class T> using Key = typename KeyOf<Accum<T>>::type;

// NaN is larger than all numbers, and the zeros are equal.
template <class A> __device__ typename KeyOf<A>::type key_of(A x, int smallest) {
  typedef typename KeyOf<A>::type K;
  const K sign = K(1) << (8 * sizeof(K) - 1);
  K bits = bits_of(x == 0 ? A(0) : x);
  K key = x != x ? ~K(0) : bits & sign ? ~bits : bits | sign;
  return smallest ? ~key : key;
}

// What is known of the k-th best key of a row.
template <class K> struct Search {
  // Its digits found so far; the others are 0.
  K key;
  // Elements with these digits that are still to be taken.
  unsigned missing;
};

template <class K> struct Item {
  K key;
  unsigned index;
  __device__ bool before(const Item& other) const { return key > other.key || (key == other.key && index < other.index); }
};

// Puts the items at a and b > a in order, best first, or last where `descending` is false.
template <class K> __device__ void order(K* keys, unsigned* indices, long long a, long long b, bool descending) {
  Item<K> x = {keys[a], indices[a]}, y = {keys[b], indices[b]};
  if (y.before(x) != descending) return;
  keys[a] = y.key;
  keys[b] = x.key;
  indices[a] = y.index;
  indices[b] = x.index;
}

// One step of a bitonic sort by the block: all pairs `stride` apart among `count` items, the first of which has the
// number `base` in the whole. `run` is the length of the runs being merged.
template <class K>
__device__ void order_pairs(K* keys, unsigned* indices, int count, long long base, long long run, int stride) {
  for (int pair = threadIdx.x; pair < count / 2; pair += blockDim.x) {
    int a = pair / stride * 2 * stride + pair % stride;
    order(keys, indices, a, a + stride, ((base + a) & run) == 0);
  }
  __syncthreads();
}

}  // namespace

// Rows of at most `padded` elements, a power of 2: sorts them in shared memory.
template <class T>
__device__ void top_k_rows(const T* x, unsigned* result, int rows, int len, int padded, int k, int smallest) {
  typedef Key<T> K;
  DYNAMIC_SHARED(unsigned char, memory);
  K* keys = reinterpret_cast<K*>(memory);
  unsigned* indices = reinterpret_cast<unsigned*>(keys + padded);
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    for (int i = threadIdx.x; i < padded; i += blockDim.x) {
      keys[i] = i < len ? key_of(load(x, (long long)row * len + i), smallest) : K(0);
      indices[i] = i < len ? (unsigned)i : NO_INDEX;
    }
    __syncthreads();
    for (int run = 2; run <= padded; run *= 2)
      for (int stride = run / 2; stride > 0; stride /= 2) order_pairs(keys, indices, padded, 0, run, stride);
    for (int i = threadIdx.x; i < k; i += blockDim.x) result[(long long)row * k + i] = indices[i];
    __syncthreads();
  }
}

template <class T>
__device__ void top_k_begin(Search<Key<T>>* searches, unsigned* histogram, int rows, int k) {
  for (long long i = first_item(); i < (long long)rows * BINS; i += item_stride()) {
    histogram[i] = 0;
    if (i < rows) {
      searches[i].key = 0;
      searches[i].missing = k;
    }
  }
}

// Counts the elements by the digit at `shift`, among those that agree with the search in the digits above.
template <class T>
__device__ void top_k_histogram(const T* x, const Search<Key<T>>* searches, unsigned* histogram, int rows, int len,
                                int chunk, int shift, int smallest) {
  typedef Key<T> K;
  __shared__ unsigned counts[BINS];
  int begin = blockIdx.x * chunk, end = (int)min((long long)begin + chunk, (long long)len);
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x) counts[bin] = 0;
    __syncthreads();
    K found = searches[row].key;
    for (int i = begin + threadIdx.x; i < end; i += blockDim.x) {
      K key = key_of(load(x, (long long)row * len + i), smallest);
      // Two shifts, since one by all bits is undefined.
      if (((key ^ found) >> shift >> 8) == 0) atomicAdd(&counts[(int)(key >> shift & (BINS - 1))], 1u);
    }
    __syncthreads();
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x)
      if (counts[bin]) atomicAdd(&histogram[(long long)row * BINS + bin], counts[bin]);
    __syncthreads();
  }
}

// Goes on with the digit that holds the k-th best element, and clears the histogram for the next one. A block per row.
template <class T>
__device__ void top_k_pick(Search<Key<T>>* searches, unsigned* histogram, int rows, int shift) {
  typedef Key<T> K;
  __shared__ unsigned counts[BINS];
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x) {
      counts[bin] = histogram[(long long)row * BINS + bin];
      histogram[(long long)row * BINS + bin] = 0;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      Search<K> search = searches[row];
      int digit = BINS - 1;
      for (; digit > 0 && counts[digit] < search.missing; --digit) search.missing -= counts[digit];
      search.key |= K(digit) << shift;
      searches[row] = search;
    }
    __syncthreads();
  }
}

// How many elements of each chunk are better than the k-th best, and how many are its equals: (row, chunk, 2).
template <class T>
__device__ void top_k_count(const T* x, const Search<Key<T>>* searches, unsigned* counts, int rows, int len, int chunk,
                            int smallest) {
  __shared__ unsigned sums[2];
  int begin = blockIdx.x * chunk, end = (int)min((long long)begin + chunk, (long long)len);
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    if (threadIdx.x < 2) sums[threadIdx.x] = 0;
    __syncthreads();
    Key<T> threshold = searches[row].key;
    unsigned better = 0, equal = 0;
    for (int i = begin + threadIdx.x; i < end; i += blockDim.x) {
      Key<T> key = key_of(load(x, (long long)row * len + i), smallest);
      better += key > threshold;
      equal += key == threshold;
    }
    atomicAdd(&sums[0], better);
    atomicAdd(&sums[1], equal);
    __syncthreads();
    if (threadIdx.x < 2) counts[((long long)row * gridDim.x + blockIdx.x) * 2 + threadIdx.x] = sums[threadIdx.x];
    __syncthreads();
  }
}

// From the counts of the chunks to those of all chunks before. A block per row and kind: every thread has a run of chunks.
KERNEL top_k_offsets(unsigned* counts, int chunks) {
  DYNAMIC_SHARED(unsigned, before);
  unsigned* of_row = counts + (long long)blockIdx.x * chunks * 2 + blockIdx.y;
  int run = (chunks + blockDim.x - 1) / blockDim.x;
  int begin = min((int)threadIdx.x * run, chunks), end = min(begin + run, chunks);
  unsigned sum = 0;
  for (int i = begin; i < end; ++i) sum += of_row[i * 2];
  before[threadIdx.x] = sum;
  __syncthreads();
  unsigned offset = 0;
  for (int i = 0; i < (int)threadIdx.x; ++i) offset += before[i];
  for (int i = begin; i < end; ++i) {
    unsigned own = of_row[i * 2];
    of_row[i * 2] = offset;
    offset += own;
  }
}
EXPORT(top_k_offsets)

// Moves the selected elements to the front of `padded` items a row, in the order of their indices, and fills up with items
// that come last.
template <class T>
__device__ void top_k_gather(const T* x, const Search<Key<T>>* searches, const unsigned* offsets, Key<T>* keys,
                             unsigned* indices, int rows, int len, int chunk, int k, int padded, int smallest) {
  typedef Key<T> K;
  __shared__ unsigned of_warp[2][32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  unsigned lanes_before = (1u << lane) - 1;
  int begin = blockIdx.x * chunk, end = (int)min((long long)begin + chunk, (long long)len);
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    K* row_keys = keys + (long long)row * padded;
    unsigned* row_indices = indices + (long long)row * padded;
    for (long long i = k + first_item(); i < padded; i += item_stride()) {
      row_keys[i] = 0;
      row_indices[i] = NO_INDEX;
    }
    const unsigned* offset = offsets + ((long long)row * gridDim.x + blockIdx.x) * 2;
    unsigned better_before = offset[0], equal_before = offset[1];
    Search<K> search = searches[row];
    // The same number of turns for all threads, since they wait for each other.
    for (int start = begin; start < end; start += blockDim.x) {
      int i = start + threadIdx.x;
      K key = i < end ? key_of(load(x, (long long)row * len + i), smallest) : K(0);
      bool better = i < end && key > search.key, equal = i < end && key == search.key;
      unsigned better_lanes = __ballot_sync(0xffffffffu, better), equal_lanes = __ballot_sync(0xffffffffu, equal);
      if (lane == 0) {
        of_warp[0][warp] = __popc(better_lanes);
        of_warp[1][warp] = __popc(equal_lanes);
      }
      __syncthreads();
      unsigned better_rank = better_before + __popc(better_lanes & lanes_before);
      unsigned equal_rank = equal_before + __popc(equal_lanes & lanes_before);
      for (int other = 0; other < warps; ++other) {
        if (other < warp) {
          better_rank += of_warp[0][other];
          equal_rank += of_warp[1][other];
        }
        better_before += of_warp[0][other];
        equal_before += of_warp[1][other];
      }
      if (better || (equal && equal_rank < search.missing)) {
        unsigned at = better_rank + min(equal_rank, search.missing);
        row_keys[at] = key;
        row_indices[at] = i;
      }
      __syncthreads();
    }
  }
}

// Sorts runs of `tile` items: those steps of a bitonic sort for the runs `from`, .. , `to` that stay within a tile.
template <class K>
__device__ void top_k_sort_tiles(K* keys, unsigned* indices, long long items, long long padded, int tile, long long from,
                                 long long to) {
  DYNAMIC_SHARED(unsigned char, memory);
  K* own_keys = reinterpret_cast<K*>(memory);
  unsigned* own_indices = reinterpret_cast<unsigned*>(own_keys + tile);
  for (long long start = (long long)blockIdx.x * tile; start < items; start += (long long)gridDim.x * tile) {
    for (int i = threadIdx.x; i < tile; i += blockDim.x) {
      own_keys[i] = keys[start + i];
      own_indices[i] = indices[start + i];
    }
    __syncthreads();
    // Rows are as long as a power of 2, so the place in the row decides on the direction as the place in the whole would;
    // the last run is all of the row and must come out best first.
    for (long long run = from; run <= to; run *= 2)
      for (int stride = (int)min(run / 2, (long long)tile / 2); stride > 0; stride /= 2)
        order_pairs(own_keys, own_indices, tile, start % padded, run, stride);
    for (int i = threadIdx.x; i < tile; i += blockDim.x) {
      keys[start + i] = own_keys[i];
      indices[start + i] = own_indices[i];
    }
    __syncthreads();
  }
}

// One step of the sort whose pairs are in different tiles.
template <class K>
__device__ void top_k_sort_step(K* keys, unsigned* indices, long long items, long long padded, long long run,
                                long long stride) {
  for (long long pair = first_item(); pair < items / 2; pair += item_stride()) {
    long long a = pair / stride * 2 * stride + pair % stride;
    order(keys, indices, a, a + stride, (a % padded & run) == 0);
  }
}

// The first k of each row.
KERNEL top_k_take(const unsigned* indices, unsigned* result, long long count, int k, int padded) {
  for (long long i = first_item(); i < count; i += item_stride()) result[i] = indices[i / k * padded + i % k];
}
EXPORT(top_k_take)

#define TOP_K(T, S)                                                                                                    \
  KERNEL top_k_rows_##S(const T* x, unsigned* result, int rows, int len, int padded, int k, int smallest) {            \
    top_k_rows(x, result, rows, len, padded, k, smallest);                                                             \
  }                                                                                                                    \
  EXPORT(top_k_rows_##S)                                                                                               \
  KERNEL top_k_histogram_##S(const T* x, const Search<Key<T>>* searches, unsigned* histogram, int rows, int len,       \
                             int chunk, int shift, int smallest) {                                                     \
    top_k_histogram(x, searches, histogram, rows, len, chunk, shift, smallest);                                        \
  }                                                                                                                    \
  EXPORT(top_k_histogram_##S)                                                                                          \
  KERNEL top_k_count_##S(const T* x, const Search<Key<T>>* searches, unsigned* counts, int rows, int len, int chunk,   \
                         int smallest) {                                                                               \
    top_k_count(x, searches, counts, rows, len, chunk, smallest);                                                      \
  }                                                                                                                    \
  EXPORT(top_k_count_##S)                                                                                              \
  KERNEL top_k_gather_##S(const T* x, const Search<Key<T>>* searches, const unsigned* offsets, Key<T>* keys,           \
                          unsigned* indices, int rows, int len, int chunk, int k, int padded, int smallest) {          \
    top_k_gather(x, searches, offsets, keys, indices, rows, len, chunk, k, padded, smallest);                          \
  }                                                                                                                    \
  EXPORT(top_k_gather_##S)
FOR_FLOATS(TOP_K)

// Over keys, hence one for each type of sums.
#define TOP_K_SEARCH(T, S)                                                                                             \
  KERNEL top_k_begin_##S(Search<Key<T>>* searches, unsigned* histogram, int rows, int k) {                             \
    top_k_begin<T>(searches, histogram, rows, k);                                                                      \
  }                                                                                                                    \
  EXPORT(top_k_begin_##S)                                                                                              \
  KERNEL top_k_pick_##S(Search<Key<T>>* searches, unsigned* histogram, int rows, int shift) {                          \
    top_k_pick<T>(searches, histogram, rows, shift);                                                                   \
  }                                                                                                                    \
  EXPORT(top_k_pick_##S)                                                                                               \
  KERNEL top_k_sort_tiles_##S(Key<T>* keys, unsigned* indices, long long items, long long padded, int tile,            \
                              long long from, long long to) {                                                          \
    top_k_sort_tiles(keys, indices, items, padded, tile, from, to);                                                    \
  }                                                                                                                    \
  EXPORT(top_k_sort_tiles_##S)                                                                                         \
  KERNEL top_k_sort_step_##S(Key<T>* keys, unsigned* indices, long long items, long long padded, long long run,        \
                             long long stride) {                                                                       \
    top_k_sort_step(keys, indices, items, padded, run, stride);                                                        \
  }                                                                                                                    \
  EXPORT(top_k_sort_step_##S)
FOR_SUMS(TOP_K_SEARCH)
