// Bilinear samples with aligned corners, in the very operations of the CPU's code, so that what is decided by comparing
// them (the first largest, ties) is decided alike. Included once by each kernel file that uses it.

// Products and sums that are not fused into one rounding.
#ifdef WSSS_EMULATE
template <class A> A times(A a, A b) { return a * b; }
template <class A> A plus(A a, A b) { return a + b; }
#else
__device__ __forceinline__ float times(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double times(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ float plus(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ double plus(double a, double b) { return __dadd_rn(a, b); }
#endif

// The two source positions of an output position, along one axis.
template <class A> struct Tap {
  int low, high;
  A low_weight, high_weight;
  __device__ A between(A at_low, A at_high) const { return plus(times(low_weight, at_low), times(high_weight, at_high)); }
  // How much of it a source position makes.
  __device__ A share(int position) const {
    return (position == low ? low_weight : A(0)) + (position == high ? high_weight : A(0));
  }
};

// Of output `i` on an axis of `input` positions, `step` apart: (input - 1) / (output - 1), or 0 for one output.
template <class A> __device__ Tap<A> tap(int input, double step, int i) {
  double position = times(step, (double)i);
  int low = smaller((int)position, input - 1);
  double high_weight = smaller(position - low, 1.0);
  return Tap<A>{low, smaller(low + 1, input - 1), (A)(1.0 - high_weight), (A)high_weight};
}

// Outputs that may have a source position in [first, last] as one of theirs; a few more than do.
struct Range { int from, to; };
__device__ inline Range touching(int first, int last, double step, int output) {
  if (step == 0) return Range{0, output - 1};
  int from = (int)((first - 1) / step) - 1, to = (int)((last + 1) / step) + 1;
  return Range{larger(from, 0), smaller(to, output - 1)};
}

// A value of a plane of rows of `width`.
template <class T, class A> __device__ A sample(const T* plane, int width, const Tap<A>& row, const Tap<A>& column) {
  const T* upper = plane + (long long)row.low * width;
  const T* lower = plane + (long long)row.high * width;
  return row.between(column.between(load(upper, column.low), load(upper, column.high)),
                     column.between(load(lower, column.low), load(lower, column.high)));
}

template <class A> __device__ A rectified(A x) { return x < 0 ? A(0) : x; }

// relu(relu(x) - m - e)
template <class A> __device__ A above_least(A x, A least, A epsilon) { return rectified((rectified(x) - least) - epsilon); }

// 0 at 0, as the gradient of the magnitude is.
template <class A> __device__ A sign(A x) { return A((x > 0) - (x < 0)); }

// Which class of an image comes `slot`-th among those it has, the background after all others; `classes` for none.
__device__ inline int class_of(const float* mask, int classes, int slot) {
  for (int c = 0; c < classes - 1; ++c) {
    if (mask[c] != 0 && slot-- == 0) return c;
  }
  return slot == 0 ? classes - 1 : classes;
}

// The foreground classes of an image below `end`.
__device__ inline int count_present(const float* mask, int end) {
  int count = 0;
  for (int c = 0; c < end; ++c) count += mask[c] != 0;
  return count;
}

// Largest or smallest value of a block and the first index that has it; each thread comes with its own. Same in all.
template <class Op, class A> __device__ void first_of_block(A& value, int& index) {
  A best = over_block<Op>(value);
  index = over_block<Smallest>(value == best ? index : 0x7fffffff);
  value = best;
}
