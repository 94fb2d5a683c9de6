// The k-th best of the magnitudes of a row by its bits, eight at a time, and which of several equal ones are chosen. For one
// block. Included once by each kernel file that uses it.

__device__ __forceinline__ unsigned long long bits(float x) { return __float_as_uint(x); }
__device__ __forceinline__ unsigned long long bits(double x) { return (unsigned long long)__double_as_longlong(x); }
__device__ __forceinline__ float from_bits(unsigned long long x, float) { return __uint_as_float((unsigned)x); }
__device__ __forceinline__ double from_bits(unsigned long long x, double) { return __longlong_as_double((long long)x); }

// Chosen is what is better than `value`, and what equals it at an index below `ties`.
template <class A> struct Cut { A value; int ties; };

// Sum of `own` over the threads before this one.
__device__ inline int count_before(int own) {
  __shared__ int of_warp[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, sum = own;
  for (int by = 1; by < 32; by <<= 1) {
    int other = __shfl_up_sync(0xffffffffu, sum, by);
    if (lane >= by) sum += other;
  }
  if (lane == 31) of_warp[warp] = sum;
  __syncthreads();
  int before = sum - own;
  for (int i = 0; i < warp; ++i) before += of_warp[i];
  __syncthreads();
  return before;
}

// Among magnitudes of `count` values; 1 <= k < count. `largest` or smallest ones. All threads of the block call it.
template <class A> __device__ Cut<A> cut_at(const A* values, int count, int k, bool largest) {
  __shared__ int bins[256];
  __shared__ unsigned long long prefix;
  __shared__ int left, equal, place;
  if (threadIdx.x == 0) prefix = 0, left = k;
  for (int shift = 8 * (int)sizeof(A) - 8; shift >= 0; shift -= 8) {
    for (int bin = threadIdx.x; bin < 256; bin += blockDim.x) bins[bin] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      unsigned long long key = bits(magnitude(values[i]));
      // Shifted in two steps, since one by all bits is undefined.
      if (key >> shift >> 8 == prefix) atomicAdd(&bins[key >> shift & 255], 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int bin = largest ? 255 : 0;
      while (bins[bin] < left) {
        left -= bins[bin];
        bin += largest ? -1 : 1;
      }
      prefix = prefix << 8 | (unsigned long long)bin;
      equal = bins[bin];
    }
    __syncthreads();
  }
  Cut<A> cut = {from_bits(prefix, A(0)), count};
  if (left < equal) {
    // Each thread counts in a stretch of its own; the one with the last chosen looks for its place.
    int stretch = (count + blockDim.x - 1) / blockDim.x;
    int from = smaller((int)threadIdx.x * stretch, count), to = smaller(from + stretch, count), own = 0;
    for (int i = from; i < to; ++i) own += magnitude(values[i]) == cut.value;
    int before = count_before(own);
    if (before < left && left <= before + own) {
      int rest = left - before, i = from;
      for (; rest > 0; ++i) rest -= magnitude(values[i]) == cut.value;
      place = i;
    }
    __syncthreads();
    cut.ties = place;
  }
  __syncthreads();
  return cut;
}

template <class A> __device__ bool is_chosen(const Cut<A>& cut, A value, int index, bool largest) {
  return (largest ? value > cut.value : value < cut.value) || (value == cut.value && index < cut.ties);
}

// The sum of the chosen magnitudes, the same in all threads.
template <class A> __device__ A sum_of_chosen(const A* values, int count, const Cut<A>& cut, bool largest) {
  A sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    A value = magnitude(values[i]);
    if (is_chosen(cut, value, i, largest)) sum += value;
  }
  return over_block<Sum>(sum);
}
