// Averages over pixels that look alike, and their gradients. The affinity matrix is there one tile at a time, in shared
// memory: a block has 64 pixels that receive (columns) and goes over all pixels that give (rows), 128 at a time, 64 in
// float64. Every sum has one owner and one order.
#include "../device/kernel.cuh"

const int THREADS = 256;
const int COLUMNS = 64;
const int SIDE = 16;         // threads along each side of a tile
const int DEPTH = 16;        // inner indices that are staged at a time
const int PITCH = COLUMNS + 4;

template <class A> struct Tile {
  static const int rows = sizeof(A) == 8 ? 64 : 128;
  static const int own = rows / SIDE;  // rows of a thread
};

template <class A> struct alignas(16) Four { A at[4]; };
template <class A> __device__ __forceinline__ Four<A> four(const A* x) { return *reinterpret_cast<const Four<A>*>(x); }

// sums[a][b] += Σ_k left[k][a] right[k][b] over staged rows, four at a time on the left, four on the right.
template <int COUNT, class A>
__device__ __forceinline__ void multiply(A (&sums)[COUNT][4], const A* left, const A* right) {
  Four<A> b = four(right);
#pragma unroll
  for (int a = 0; a < COUNT; a += 4) {
    Four<A> l = four(left + a);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[a + i][j] += l.at[i] * b.at[j];
  }
}

// Inner products of the pixels of a tile: sums[a][b] = Σ_k left(k, row) right(k, column) for the rows and columns of this
// thread.
template <class A, class Left, class Right>
__device__ void inner_products(A (&sums)[Tile<A>::own][4], A* stage, int depth, Left left, Right right) {
  const int rows = Tile<A>::rows, own = Tile<A>::own;
  A* staged = stage + DEPTH * rows;
  for (int a = 0; a < own; ++a)
    for (int b = 0; b < 4; ++b) sums[a][b] = 0;
  for (int start = 0; start < depth; start += DEPTH) {
    for (int at = threadIdx.x; at < DEPTH * rows; at += THREADS) {
      int k = start + at / rows;
      stage[at] = k < depth ? left(k, at % rows) : A(0);
    }
    for (int at = threadIdx.x; at < DEPTH * COLUMNS; at += THREADS) {
      int k = start + at / COLUMNS;
      staged[at] = k < depth ? right(k, at % COLUMNS) : A(0);
    }
    __syncthreads();
    const A* of_rows = stage + threadIdx.x / SIDE * own;
    const A* of_columns = staged + threadIdx.x % SIDE * 4;
#pragma unroll
    for (int k = 0; k < DEPTH; ++k) multiply<own>(sums, of_rows + k * rows, of_columns + k * COLUMNS);
    __syncthreads();
  }
}

// Values of some rows of an image at the pixels from `first` on, 0 behind the last.
template <class T> struct Map {
  const T* values;
  int pixels, first;
  __device__ __forceinline__ Accum<T> operator()(int row, int pixel) const {
    pixel += first;
    return pixel < pixels ? load(values, (long long)row * pixels + pixel) : Accum<T>(0);
  }
};

template <class T> __device__ __forceinline__ Map<T> map_at(const T* values, int rows, int pixels, int first) {
  return Map<T>{values + (long long)blockIdx.z * rows * pixels, pixels, first};
}

// Stores what this thread has of a tile.
template <class A, class F> __device__ __forceinline__ void fill(A* tile, F value) {
  const int own = Tile<A>::own;
  A* at = tile + threadIdx.x / SIDE * own * PITCH + threadIdx.x % SIDE * 4;
#pragma unroll
  for (int a = 0; a < own; ++a)
#pragma unroll
    for (int b = 0; b < 4; ++b) at[a * PITCH + b] = value(a, b);
}

// Σ_i maps_i A_ij for 4 QUARTER maps; over Σ_i A_ij + epsilon, with the root of that in one more row, or as it is.
// Blocks: columns, maps, images. `held` maps an image in memory, `count` of them are summed.
template <class M, class T, int QUARTER>
__device__ void affinity_sums(const M* maps, const T* unit, T* result, int held, int count, int dim, int pixels,
                              double epsilon, int divide) {
  typedef Accum<T> A;
  const int rows = Tile<A>::rows;
  DYNAMIC_SHARED(A, tile);
  A* stage = tile + rows * PITCH;
  A* given = stage + DEPTH * (rows + COLUMNS);
  int first_column = blockIdx.x * COLUMNS, first_map = blockIdx.y * 4 * QUARTER;
  int column = threadIdx.x % COLUMNS, quarter = threadIdx.x / COLUMNS;
  A sums[QUARTER], all = 0;
  for (int q = 0; q < QUARTER; ++q) sums[q] = 0;
  for (int first = 0; first < pixels; first += rows) {
    A products[Tile<A>::own][4];
    inner_products<A>(products, stage, dim, map_at(unit, dim, pixels, first), map_at(unit, dim, pixels, first_column));
    // A NaN stays one.
    fill<A>(tile, [&](int a, int b) { return products[a][b] <= 0 ? A(0) : products[a][b]; });
    Map<M> map = map_at(maps, held, pixels, first);
    for (int at = threadIdx.x; at < 4 * QUARTER * rows; at += THREADS) {
      int row = first_map + at / rows, i = at % rows;
      given[i * 4 * QUARTER + at / rows] = row < count ? map(row, i) : A(0);
    }
    __syncthreads();
    for (int i = 0; i < rows; ++i) {
      A weight = tile[i * PITCH + column];
      all += weight;
#pragma unroll
      for (int q = 0; q < QUARTER; q += 4) {
        Four<A> value = four(given + (i * 4 + quarter) * QUARTER + q);
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[q + j] += value.at[j] * weight;
      }
    }
    __syncthreads();
  }
  int pixel = first_column + column;
  if (pixel >= pixels) return;
  A divisor = divide ? all + A(epsilon) : A(1);
  T* of_image = result + (long long)blockIdx.z * (count + divide) * pixels + pixel;
#pragma unroll
  for (int q = 0; q < QUARTER; ++q) {
    int row = first_map + quarter * QUARTER + q;
    if (row < count) store(of_image, (long long)row * pixels, sums[q] / divisor);
  }
  if (divide && blockIdx.y == 0 && quarter == 0) store(of_image, (long long)count * pixels, root(divisor));
}

// The gradient of the sums: of the maps' g / divisor, of the divisor's -Σ g mean / divisor. Threads: pixels of all images.
template <class T>
__device__ void affinity_cotangent(const T* result, const T* grad, Accum<T>* cotangent, int images, int count, int pixels) {
  typedef Accum<T> A;
  for (long long item = first_item(); item < (long long)images * pixels; item += item_stride()) {
    long long start = item / pixels * (count + 1) * pixels + item % pixels;
    A length = load(result, start + (long long)count * pixels), of_divisor = 0;
    for (int row = 0; row < count; ++row) {
      long long at = start + (long long)row * pixels;
      A slope = load(grad, at) / (length * length);
      cotangent[at] = slope;
      of_divisor -= slope * load(result, at);
    }
    cotangent[start + (long long)count * pixels] = of_divisor;
  }
}

// The maps with ones below them, and the cotangents: one above the other, in either order.
template <class T> struct Factors {
  Map<T> maps;
  Map<Accum<T>> cotangent;
  int count, maps_first;
  __device__ __forceinline__ Accum<T> operator()(int row, int pixel) const {
    int half = count + 1;
    bool is_map = (row < half) == (maps_first != 0);
    row -= row < half ? 0 : half;
    if (!is_map) return cotangent(row, pixel);
    return row < count ? maps(row, pixel) : Accum<T>(maps.first + pixel < maps.pixels);
  }
};

// Σ_i E_ij z_i with E_ij = [z_i · z_j > 0] (M_i · H_j + H_i · M_j), for 16 OWN channels. Blocks: columns, channels, images.
template <class T, int OWN>
__device__ void affinity_features(const T* unit, const T* maps, const Accum<T>* cotangent, T* result, int count, int dim,
                                  int pixels) {
  typedef Accum<T> A;
  const int rows = Tile<A>::rows, width = SIDE * OWN + 4;
  DYNAMIC_SHARED(A, tile);
  A* stage = tile + rows * PITCH;
  int first_column = blockIdx.x * COLUMNS, first_channel = blockIdx.y * SIDE * OWN;
  const A* of_channels = stage + threadIdx.x / SIDE * OWN;
  const A* of_columns = tile + threadIdx.x % SIDE * 4;
  A sums[OWN][4];
  for (int a = 0; a < OWN; ++a)
    for (int b = 0; b < 4; ++b) sums[a][b] = 0;
  auto factors = [&](int first, int maps_first) {
    return Factors<T>{map_at(maps, count, pixels, first), map_at(cotangent, count + 1, pixels, first), count, maps_first};
  };
  for (int first = 0; first < pixels; first += rows) {
    Map<T> giving = map_at(unit, dim, pixels, first);
    A products[Tile<A>::own][4], slopes[Tile<A>::own][4];
    inner_products<A>(products, stage, dim, giving, map_at(unit, dim, pixels, first_column));
    inner_products<A>(slopes, stage, 2 * (count + 1), factors(first, 1), factors(first_column, 0));
    fill<A>(tile, [&](int a, int b) { return products[a][b] > 0 ? slopes[a][b] : A(0); });
    for (int start = 0; start < rows; start += DEPTH) {
      for (int at = threadIdx.x; at < DEPTH * SIDE * OWN; at += THREADS) {
        int i = at % DEPTH, channel = at / DEPTH;
        stage[i * width + channel] = first_channel + channel < dim ? giving(first_channel + channel, start + i) : A(0);
      }
      __syncthreads();
#pragma unroll
      for (int i = 0; i < DEPTH; ++i) multiply<OWN>(sums, of_channels + i * width, of_columns + (start + i) * PITCH);
      __syncthreads();
    }
  }
#pragma unroll
  for (int a = 0; a < OWN; ++a) {
    int channel = first_channel + threadIdx.x / SIDE * OWN + a;
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      int pixel = first_column + threadIdx.x % SIDE * 4 + b;
      if (channel < dim && pixel < pixels) store(result, ((long long)blockIdx.z * dim + channel) * pixels + pixel, sums[a][b]);
    }
  }
}

#define SUMS(T, S, QUARTER)                                                                                           \
  KERNEL affinity_sums_##QUARTER##_##S(const T* maps, const T* unit, T* result, int held, int count, int dim,         \
                                       int pixels, double epsilon, int divide) {                                      \
    affinity_sums<T, T, QUARTER>(maps, unit, result, held, count, dim, pixels, epsilon, divide);                      \
  }                                                                                                                   \
  EXPORT(affinity_sums_##QUARTER##_##S)                                                                               \
  KERNEL affinity_slopes_##QUARTER##_##S(const Accum<T>* maps, const T* unit, T* result, int held, int count, int dim, \
                                         int pixels, double epsilon, int divide) {                                    \
    affinity_sums<Accum<T>, T, QUARTER>(maps, unit, result, held, count, dim, pixels, epsilon, divide);               \
  }                                                                                                                   \
  EXPORT(affinity_slopes_##QUARTER##_##S)
#define FEATURES(T, S, OWN)                                                                                           \
  KERNEL affinity_features_##OWN##_##S(const T* unit, const T* maps, const Accum<T>* cotangent, T* result, int count, \
                                       int dim, int pixels) {                                                         \
    affinity_features<T, OWN>(unit, maps, cotangent, result, count, dim, pixels);                                     \
  }                                                                                                                   \
  EXPORT(affinity_features_##OWN##_##S)
#define AFFINITY(T, S)                                                                                            \
  SUMS(T, S, 8)                                                                                                   \
  SUMS(T, S, 24)                                                                                                  \
  FEATURES(T, S, 4)                                                                                               \
  FEATURES(T, S, 12)                                                                                              \
  KERNEL affinity_cotangent_##S(const T* result, const T* grad, Accum<T>* cotangent, int images, int count,      \
                                int pixels) {                                                                     \
    affinity_cotangent(result, grad, cotangent, images, count, pixels);                                           \
  }                                                                                                               \
  EXPORT(affinity_cotangent_##S)
FOR_FLOATS(AFFINITY)
