// Contrast of a few queries with the rows of a bank: logits, sums and losses, rows summed with their weights, gradients.
//
// Templates over the type of the bank; everything else is in the type of its sums. `Query` counts what a query needs later.
#include "../device/kernel.cuh"

// Queries a thread has sums of at the same time.
constexpr int QUERIES = 8;
// Rows whose weights a block keeps at the same time.
constexpr int ROWS = 32;

template <class A> struct Query { A top, others[2], by_other[2]; };

template <class A> __device__ A at_least(A norm, double epsilon) { return larger(norm, A(epsilon)); }

// Unit vectors and lengths; a block per query.
template <class A> __device__ void units(const A* queries, A* units, A* norms, int dim, double epsilon) {
  const A* query = queries + (long long)blockIdx.x * dim;
  A sum = 0;
  for (int i = threadIdx.x; i < dim; i += blockDim.x) sum += query[i] * query[i];
  A norm = root(over_block<Sum>(sum));
  for (int i = threadIdx.x; i < dim; i += blockDim.x) {
    units[(long long)blockIdx.x * dim + i] = query[i] / at_least(norm, epsilon);
  }
  if (threadIdx.x == 0) norms[blockIdx.x] = norm;
}

__device__ __forceinline__ bool is_written(long long row, int length, const unsigned* filled) {
  return (unsigned)(row % length) < filled[row / length];
}

// Logits (queries, rows), and one over the length of each row; a warp per row. Rows that are not written are left out.
template <class T, class A>
__device__ void logits(const T* bank, const A* units, const unsigned* filled, A* logits, A* scales, long long rows,
                       int length, int queries, int dim, double temperature, double epsilon) {
  int lane = threadIdx.x % 32;
  long long warps = (long long)gridDim.x * blockDim.x / 32;
  for (long long row = first_item() / 32; row < rows; row += warps) {
    if (!is_written(row, length, filled)) continue;
    A square = 0;
    for (int i = lane; i < dim; i += 32) {
      A value = load(bank, row * dim + i);
      square += value * value;
    }
    A scale = 1 / at_least(root(over_warp<Sum>(square)), epsilon);
    if (lane == 0) scales[row] = scale;
    for (int first = 0; first < queries; first += QUERIES) {
      A sums[QUERIES] = {};
      for (int i = lane; i < dim; i += 32) {
        A value = load(bank, row * dim + i);
        for (int j = 0; j < QUERIES; ++j) {
          if (first + j < queries) sums[j] += value * units[(long long)(first + j) * dim + i];
        }
      }
      for (int j = 0; j < QUERIES; ++j) {
        A sum = over_warp<Sum>(sums[j]);
        if (lane == 0 && first + j < queries) logits[(first + j) * rows + row] = sum * scale / A(temperature);
      }
    }
  }
}

// Both losses of a query, and what their derivatives need; a block per query.
template <class A>
__device__ void losses(const A* logits, const unsigned* filled, const unsigned* classes, Query<A>* out, A* result,
                       long long rows, int length, int width, double clamp) {
  const A* own_logits = logits + blockIdx.x * rows;
  const unsigned* pair = classes + 2 * blockIdx.x;
  A top = -INFINITY;
  for (long long row = threadIdx.x; row < rows; row += blockDim.x) {
    if (is_written(row, length, filled)) top = larger(top, own_logits[row]);
  }
  top = over_block<Largest>(top);
  A rest = 0, own[2] = {};
  for (long long row = threadIdx.x; row < rows; row += blockDim.x) {
    if (!is_written(row, length, filled)) continue;
    unsigned of = (unsigned)(row / length);
    A value = exponential(own_logits[row] - top);
    if (of == pair[0]) own[0] += value;
    if (of == pair[1]) own[1] += value;
    if (of != pair[0] && of != pair[1]) rest += value;
  }
  rest = over_block<Sum>(rest);
  for (int which = 0; which < 2; ++which) own[which] = over_block<Sum>(own[which]);
  for (int which = 0; which < 2; ++which) {
    unsigned count = filled[pair[which]];
    A share = A(1) / A(count > 0 ? count : 1);
    A others = pair[0] == pair[1] ? rest : rest + own[1 - which];
    A value = 0, by_other = 0;
    for (int slot = threadIdx.x; slot < (int)count; slot += blockDim.x) {
      A logit = own_logits[(long long)pair[which] * length + slot] - top;
      A sum = exponential(logit) + others;
      bool is_free = A(clamp) <= sum;
      value += (logarithm(is_free ? sum : A(clamp)) - logit) * share;
      by_other += is_free ? share / sum : A(0);
    }
    value = over_block<Sum>(value);
    by_other = over_block<Sum>(by_other);
    if (threadIdx.x == 0) {
      result[(long long)blockIdx.x * width + which] = value;
      out[blockIdx.x].others[which] = others;
      out[blockIdx.x].by_other[which] = by_other;
    }
  }
  if (threadIdx.x == 0) out[blockIdx.x].top = top;
}

// The derivative of one of a query's losses by a logit.
template <class A>
__device__ A slope(const Query<A>& query, int which, unsigned own, unsigned of, A logit, const unsigned* filled,
                   double clamp) {
  A value = exponential(logit - query.top);
  if (of != own) return query.by_other[which] * value;
  A share = A(1) / A(filled[own]), sum = value + query.others[which];
  return (A(clamp) <= sum ? value * share / sum : A(0)) - share;
}

// Sums of a span of rows, weighted by the derivatives: (spans, 2 queries, dim). A block for some dimensions, a span and
// some queries.
template <class T, class A>
__device__ void pull(const T* bank, const A* logits, const A* scales, const unsigned* filled, const unsigned* classes,
                     const Query<A>* of_queries, A* partial, long long rows, int length, int queries, int dim,
                     long long span, double clamp) {
  __shared__ A weights[ROWS][2 * QUERIES];
  __shared__ bool written[ROWS];
  int first = blockIdx.z * QUERIES, i = blockIdx.x * blockDim.x + threadIdx.x;
  long long start = blockIdx.y * span, end = smaller(start + span, rows);
  A sums[2 * QUERIES] = {};
  for (long long base = start; base < end; base += ROWS) {
    __syncthreads();
    for (int at = threadIdx.x; at < ROWS; at += blockDim.x) {
      written[at] = base + at < end && is_written(base + at, length, filled);
    }
    __syncthreads();
    for (int at = threadIdx.x; at < ROWS * QUERIES; at += blockDim.x) {
      long long row = base + at % ROWS;
      int query = first + at / ROWS;
      bool counts = query < queries && written[at % ROWS];
      for (int which = 0; which < 2; ++which) {
        A weight = 0;
        if (counts) {
          weight = scales[row] * slope(of_queries[query], which, classes[2 * query + which], (unsigned)(row / length),
                                       logits[query * rows + row], filled, clamp);
        }
        weights[at % ROWS][2 * (at / ROWS) + which] = weight;
      }
    }
    __syncthreads();
    if (i < dim) {
      for (int at = 0; at < ROWS; ++at) {
        if (!written[at]) continue;
        A value = load(bank, (base + at) * dim + i);
        for (int j = 0; j < 2 * QUERIES; ++j) sums[j] += weights[at][j] * value;
      }
    }
  }
  for (int j = 0; j < 2 * QUERIES; ++j) {
    int output = 2 * first + j;
    if (i < dim && output < 2 * queries) {
      partial[((long long)blockIdx.y * 2 * queries + output) * dim + i] = sums[j];
    }
  }
}

// The gradients by the queries: the sums of all spans, through the unit vector. A block per query and loss.
template <class A>
__device__ void join(const A* partial, const A* units, const A* norms, A* result, int spans, int queries, int dim,
                     int width, double temperature, double epsilon) {
  int query = blockIdx.x / 2, which = blockIdx.x % 2;
  const A* unit = units + (long long)query * dim;
  A* gradient = result + (long long)query * width + 2 + which * dim;
  A along = 0;
  for (int i = threadIdx.x; i < dim; i += blockDim.x) {
    A sum = 0;
    for (int span = 0; span < spans; ++span) sum += partial[((long long)span * 2 * queries + blockIdx.x) * dim + i];
    gradient[i] = sum;
    along += unit[i] * sum;
  }
  A norm = norms[query];
  along = over_block<Sum>(along);
  if (norm < A(epsilon)) along = 0;
  A divisor = at_least(norm, epsilon) * A(temperature);
  for (int i = threadIdx.x; i < dim; i += blockDim.x) gradient[i] = (gradient[i] - unit[i] * along) / divisor;
}

#define OF_SUMS(A, S)                                                                                              \
  KERNEL memory_units_##S(const A* queries, A* out, A* norms, int dim, double epsilon) {                           \
    units(queries, out, norms, dim, epsilon);                                                                      \
  }                                                                                                                \
  EXPORT(memory_units_##S)                                                                                         \
  KERNEL memory_losses_##S(const A* of_rows, const unsigned* filled, const unsigned* classes, Query<A>* out,       \
                           A* result, long long rows, int length, int width, double clamp) {                       \
    losses(of_rows, filled, classes, out, result, rows, length, width, clamp);                                     \
  }                                                                                                                \
  EXPORT(memory_losses_##S)                                                                                        \
  KERNEL memory_join_##S(const A* partial, const A* of_queries, const A* norms, A* result, int spans, int queries, \
                         int dim, int width, double temperature, double epsilon) {                                 \
    join(partial, of_queries, norms, result, spans, queries, dim, width, temperature, epsilon);                    \
  }                                                                                                                \
  EXPORT(memory_join_##S)
FOR_SUMS(OF_SUMS)

#define OF_BANK(T, S)                                                                                               \
  KERNEL memory_logits_##S(const T* bank, const Accum<T>* of_queries, const unsigned* filled, Accum<T>* out,        \
                           Accum<T>* scales, long long rows, int length, int queries, int dim, double temperature,  \
                           double epsilon) {                                                                        \
    logits(bank, of_queries, filled, out, scales, rows, length, queries, dim, temperature, epsilon);                \
  }                                                                                                                 \
  EXPORT(memory_logits_##S)                                                                                         \
  KERNEL memory_pull_##S(const T* bank, const Accum<T>* of_rows, const Accum<T>* scales, const unsigned* filled,    \
                         const unsigned* classes, const Query<Accum<T>>* of_queries, Accum<T>* partial,             \
                         long long rows, int length, int queries, int dim, long long span, double clamp) {          \
    pull(bank, of_rows, scales, filled, classes, of_queries, partial, rows, length, queries, dim, span, clamp);     \
  }                                                                                                                 \
  EXPORT(memory_pull_##S)
FOR_FLOATS(OF_BANK)
