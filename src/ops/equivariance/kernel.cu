// Equivariance terms of two views and their gradients, from the maps as the network makes them. In order: extrema of the
// enlarged planes; aligned values of the classes an image has, one slot each; differences in place; the largest of them;
// sums; and gradients, where every pixel of a map gathers what it is owed.
#include "../device/kernel.cuh"
#include "bilinear.cuh"
#include "select.cuh"

// Sizes of a view's maps, of their enlarged form and of the comparison, and the steps between neighbours.
struct Frame {
  int h, w, large_h, large_w, compared_h, compared_w;
  double row_step, column_step, second_row_step, second_column_step;
  __device__ bool is_direct() const { return large_h == compared_h && large_w == compared_w; }
  __device__ int pixels() const { return compared_h * compared_w; }
};
#define FRAME_ARGUMENTS                                                                                          \
  int h, int w, int large_h, int large_w, int compared_h, int compared_w, double row_step, double column_step,   \
      double second_row_step, double second_column_step
#define FRAME                                                                                              \
  Frame {                                                                                                  \
    h, w, large_h, large_w, compared_h, compared_w, row_step, column_step, second_row_step, second_column_step \
  }

// A value of the enlarged plane.
template <class T> __device__ T enlarged(const T* plane, const Frame& frame, int row, int column) {
  return sample(plane, frame.w, tap<T>(frame.h, frame.row_step, row), tap<T>(frame.w, frame.column_step, column));
}

// Largest and smallest value of a plane, rectified, and the places of the first of them; -1 where relu made it 0.
template <class T> struct Extent {
  T most, least;
  int most_at, least_at;
};

template <class T> __device__ Extent<T> extent_of(const T* values, const unsigned* places, long long plane) {
  return Extent<T>{values[2 * plane], values[2 * plane + 1], (int)places[2 * plane], (int)places[2 * plane + 1]};
}

// Blocks: classes, images, raw and refined. Extents are stored in that order, refined last.
template <class T>
__device__ void extents(const T* cam, const T* refined, const float* mask, T* values, unsigned* places, const Frame& frame) {
  int c = blockIdx.x, classes = gridDim.x, background = classes - 1;
  long long plane = (long long)blockIdx.y * classes + c;
  bool is_refined = blockIdx.z == 1;
  bool is_used = c == background ? is_refined : mask[(long long)blockIdx.y * background + c] != 0;
  if (!is_used) return;
  const T* map = (is_refined ? refined : cam) + plane * frame.h * frame.w;
  int pixels = frame.large_h * frame.large_w, most_at = threadIdx.x, least_at = threadIdx.x;
  // Threads without a pixel repeat the first one, at an index of no use.
  T most = enlarged(map, frame, 0, 0), least = most;
  if ((int)threadIdx.x >= pixels) most_at = least_at = 0x7ffffffe;
  for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
    T value = enlarged(map, frame, p / frame.large_w, p % frame.large_w);
    if (value > most || p == (int)threadIdx.x) most = value, most_at = p;
    if (value < least || p == (int)threadIdx.x) least = value, least_at = p;
  }
  first_of_block<Largest>(most, most_at);
  first_of_block<Smallest>(least, least_at);
  if (threadIdx.x == 0) {
    plane += (long long)blockIdx.z * gridDim.y * classes;
    values[2 * plane] = rectified(most);
    values[2 * plane + 1] = rectified(least);
    places[2 * plane] = most > 0 ? most_at : -1;
    places[2 * plane + 1] = least > 0 ? least_at : -1;
  }
}

template <class T> __device__ T normalised(const T* plane, const Frame& frame, const Extent<T>& extent, T epsilon, int row, int column) {
  T span = (extent.most - extent.least) + epsilon;
  return above_least(enlarged(plane, frame, row, column), extent.least, epsilon) / span;
}

template <class T>
__device__ T aligned(const T* plane, const Frame& frame, const Extent<T>& extent, T epsilon, int row, int column) {
  if (frame.is_direct()) return normalised(plane, frame, extent, epsilon, row, column);
  Tap<T> rows = tap<T>(frame.large_h, frame.second_row_step, row);
  Tap<T> columns = tap<T>(frame.large_w, frame.second_column_step, column);
  T upper = columns.between(normalised(plane, frame, extent, epsilon, rows.low, columns.low),
                            normalised(plane, frame, extent, epsilon, rows.low, columns.high));
  T lower = columns.between(normalised(plane, frame, extent, epsilon, rows.high, columns.low),
                            normalised(plane, frame, extent, epsilon, rows.high, columns.high));
  return rows.between(upper, lower);
}

// Blocks: pixels, slots, images. `extra` is 1 for maps with their background.
template <class T>
__device__ void align(const T* map, const float* mask, const T* values, const unsigned* places, T* result, int classes,
                      int extra, double epsilon, const Frame& frame) {
  long long image = blockIdx.z;
  const float* has = mask + image * (classes - 1);
  int slot = blockIdx.y, c = class_of(has, classes, slot);
  if (c >= classes - 1 + extra) return;
  long long plane = image * classes + c;
  Extent<T> extent = extent_of(values, places, plane);
  T* aligned_plane = result + (image * gridDim.y + slot) * frame.pixels();
  for (int p = (int)first_item(); p < frame.pixels(); p += (int)item_stride()) {
    aligned_plane[p] = aligned(map + plane * frame.h * frame.w, frame, extent, T(epsilon), p / frame.compared_w, p % frame.compared_w);
  }
}

// The target that a value of a competing channel gives.
template <class T> __device__ T kept(T value, T strongest) { return value < strongest ? T(0) : value; }

// One pixel's targets minus its refined values, in the place of these. `first` is 1 if the first class stays out of it.
template <class T>
__device__ void subtract(const T* cam, T* refined, int count, int pixels, bool skip_first, bool has_first, bool has_absent) {
  T strongest = 0;
  for (int slot = 0; slot < count; ++slot) strongest = larger(strongest, cam[(long long)slot * pixels]);
  T background = T(1) - strongest;
  int skipped = skip_first && has_first;
  if (skip_first) {
    strongest = has_absent ? rectified(background) : background;
    for (int slot = skipped; slot < count; ++slot) strongest = larger(strongest, cam[(long long)slot * pixels]);
  }
  for (int slot = 0; slot < count; ++slot) {
    T value = cam[(long long)slot * pixels];
    refined[(long long)slot * pixels] = (slot < skipped ? value : kept(value, strongest)) - refined[(long long)slot * pixels];
  }
  long long last = (long long)count * pixels;
  refined[last] = (skip_first ? kept(background, strongest) : background) - refined[last];
}

// Blocks: pixels, images. `a` becomes a - b, the refined maps become the differences of both directions; sums of |a - b|
// go to a place for each block.
template <class T>
__device__ void compare(T* a, const T* b, T* p, T* q, const float* mask, T* sums, int classes, int slots, int pixels, int skip_first) {
  long long image = blockIdx.y;
  const float* has = mask + image * (classes - 1);
  int count = count_present(has, classes - 1);
  bool has_first = has[0] != 0, has_absent = count - (skip_first && has_first) + 2 < classes;
  a += image * slots * pixels, b += image * slots * pixels;
  p += image * (slots + 1) * pixels, q += image * (slots + 1) * pixels;
  T sum = 0;
  for (int i = (int)first_item(); i < pixels; i += (int)item_stride()) {
    subtract(b + i, p + i, count, pixels, skip_first, has_first, has_absent);
    subtract(a + i, q + i, count, pixels, skip_first, has_first, has_absent);
    for (int slot = 0; slot < count; ++slot) {
      long long at = (long long)slot * pixels + i;
      a[at] -= b[at];
      sum += magnitude(a[at]);
    }
  }
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) sums[image * gridDim.x + blockIdx.x] = sum;
}

// Blocks: images, directions.
template <class T>
__device__ void select(const T* p, const T* q, const float* mask, T* values, int* ties, T* sums, int classes, int slots, int pixels, int largest) {
  long long image = blockIdx.x, at = (long long)blockIdx.y * gridDim.x + image;
  int count = (count_present(mask + image * (classes - 1), classes - 1) + 1) * pixels;
  const T* differences = (blockIdx.y == 0 ? p : q) + image * (slots + 1) * pixels;
  Cut<T> cut = {T(0), count};
  if (largest < count && largest > 0) cut = cut_at(differences, count, largest, true);
  if (largest == 0) cut = Cut<T>{T(INFINITY), 0};
  T sum = sum_of_chosen(differences, count, cut, true);
  if (threadIdx.x == 0) values[at] = cut.value, ties[at] = cut.ties, sums[at] = sum;
}

// One block: both terms.
template <class T>
__device__ void add_up(const T* er_sums, int er_count, const T* ecr_sums, int ecr_count, T* terms, double er_scale, double ecr_scale) {
  T er = 0, ecr = 0;
  for (int i = threadIdx.x; i < er_count; i += blockDim.x) er += er_sums[i];
  for (int i = threadIdx.x; i < ecr_count; i += blockDim.x) ecr += ecr_sums[i];
  er = over_block<Sum>(er);
  ecr = over_block<Sum>(ecr);
  if (threadIdx.x == 0) terms[0] = T(er * er_scale), terms[1] = T(ecr * ecr_scale);
}

// Gradient of a term by a pixel of an aligned plane: the sign of the difference there, if it counts.
template <class T> struct Slope {
  const T* differences;
  Cut<T> cut;
  int offset;
  T scale;
  __device__ T at(int pixel) const {
    T difference = differences[pixel];
    return is_chosen(cut, magnitude(difference), offset + pixel, true) ? sign(difference) * scale : T(0);
  }
};

// What a row or column of the comparison takes from the enlarged plane: at most two positions.
template <class T> struct Level { Tap<T> tap; T weight; int at; };
template <class T>
__device__ int levels(Level<T>* result, int input, double step, int large, double second_step, bool is_direct, int i) {
  if (is_direct) {
    result[0] = Level<T>{tap<T>(input, step, i), T(1), i};
    return 1;
  }
  Tap<T> second = tap<T>(large, second_step, i);
  result[0] = Level<T>{tap<T>(input, step, second.low), second.low_weight, second.low};
  result[1] = Level<T>{tap<T>(input, step, second.high), second.high_weight, second.high};
  return 2;
}

// Outputs of the comparison that may look at a position of the map.
__device__ inline Range outputs(int position, double step, int large, double second_step, int compared, bool is_direct) {
  Range range = touching(position, position, step, large);
  return is_direct ? range : touching(range.from, range.to, second_step, compared);
}

// Of the gradients' kernels: a plane of a view, raw or refined, of one slot of an image.
struct Plane {
  int images, classes, slots, pixels;
  // 0 for the raw, 1 for the refined maps.
  __device__ bool is_refined() const { return (int)blockIdx.z >= images; }
  __device__ long long image() const { return (int)blockIdx.z % images; }
  __device__ long long slot_index(int slot) const { return (long long)blockIdx.z * (slots + 1) + slot; }
};

// Blocks: pixels of the comparison, slots, images of the raw and then of the refined maps. What each pixel of the
// enlarged plane that a pixel looks at is owed, and sums of it: alone, and times how far the pixel is above the least.
template <class T>
__device__ void spread(const T* cam, const T* refined, const float* mask, const T* extent_values, const unsigned* extent_places,
                       const T* er, const T* cross, const T* cut_values, const int* cut_ties, T* parts, T* sums,
                       const Plane& plane, int view, T epsilon, double er_scale, double ecr_scale, const Frame& frame) {
  bool is_refined = plane.is_refined(), is_direct = frame.is_direct();
  long long image = plane.image();
  int slot = blockIdx.y, classes = plane.classes, c = class_of(mask + image * (classes - 1), classes, slot);
  if (c >= classes - 1 + is_refined) return;
  long long index = image * classes + c, own = plane.slot_index(slot);
  const T* map = (is_refined ? refined : cam) + index * frame.h * frame.w;
  Extent<T> extent = extent_of(extent_values, extent_places, index + (is_refined ? (long long)plane.images * classes : 0));
  Slope<T> slope;
  if (is_refined) {
    long long cut = (long long)view * plane.images + image;
    slope = Slope<T>{cross + (image * (plane.slots + 1) + slot) * plane.pixels, {cut_values[cut], cut_ties[cut]}, slot * plane.pixels, -T(ecr_scale)};
  } else {
    slope = Slope<T>{er + (image * plane.slots + slot) * plane.pixels, {T(0), 0}, 0, view == 0 ? T(er_scale) : -T(er_scale)};
  }
  Level<T> rows[2], columns[2];
  int levels_each = is_direct ? 1 : 2;
  parts += own * levels_each * levels_each * plane.pixels;
  T active = 0, along = 0;
  for (int p = (int)first_item(); p < plane.pixels; p += (int)item_stride()) {
    T grad = slope.at(p);
    levels(rows, frame.h, frame.row_step, frame.large_h, frame.second_row_step, is_direct, p / frame.compared_w);
    levels(columns, frame.w, frame.column_step, frame.large_w, frame.second_column_step, is_direct, p % frame.compared_w);
    for (int r = 0; r < levels_each; ++r) {
      for (int c = 0; c < levels_each; ++c) {
        T above = above_least(sample(map, frame.w, rows[r].tap, columns[c].tap), extent.least, epsilon);
        T part = above > 0 ? grad * (rows[r].weight * columns[c].weight) : T(0);
        parts[(long long)(r * levels_each + c) * plane.pixels + p] = part;
        active += part;
        along += part * above;
      }
    }
  }
  active = over_block<Sum>(active);
  along = over_block<Sum>(along);
  if (threadIdx.x == 0) {
    long long at = own * gridDim.x + blockIdx.x;
    sums[2 * at] = active;
    sums[2 * at + 1] = along;
  }
}

// What a pixel of a map is owed by the parts.
template <class T> __device__ T gathered(const T* parts, int y, int x, int pixels, const Frame& frame) {
  bool is_direct = frame.is_direct();
  int levels_each = is_direct ? 1 : 2;
  Range over_rows = outputs(y, frame.row_step, frame.large_h, frame.second_row_step, frame.compared_h, is_direct);
  Range over_columns = outputs(x, frame.column_step, frame.large_w, frame.second_column_step, frame.compared_w, is_direct);
  Level<T> rows[2], columns[2];
  T sum = 0;
  for (int i = over_rows.from; i <= over_rows.to; ++i) {
    levels(rows, frame.h, frame.row_step, frame.large_h, frame.second_row_step, is_direct, i);
    for (int r = 0; r < levels_each; ++r) {
      T row_share = rows[r].tap.share(y);
      if (row_share == 0) continue;
      for (int j = over_columns.from; j <= over_columns.to; ++j) {
        levels(columns, frame.w, frame.column_step, frame.large_w, frame.second_column_step, is_direct, j);
        for (int c = 0; c < levels_each; ++c) {
          T share = row_share * columns[c].tap.share(x);
          if (share != 0) sum += share * parts[(long long)(r * levels_each + c) * pixels + i * frame.compared_w + j];
        }
      }
    }
  }
  return sum;
}

// The share of a pixel of the enlarged plane that a pixel of the map makes; 0 for no pixel.
template <class T> __device__ T share_at(int at, int y, int x, const Frame& frame) {
  if (at < 0) return T(0);
  return tap<T>(frame.h, frame.row_step, at / frame.large_w).share(y) * tap<T>(frame.w, frame.column_step, at % frame.large_w).share(x);
}

// Blocks: pixels of a map, classes, images of the raw and then of the refined maps; `blocks` is those of `spread`.
template <class T>
__device__ void gather(const float* mask, const T* extent_values, const unsigned* extent_places, const T* parts, const T* sums,
                       int blocks, T* cam_result, T* refined_result, const Plane& plane, T epsilon, const Frame& frame) {
  bool is_refined = plane.is_refined();
  long long image = plane.image();
  int c = blockIdx.y, classes = plane.classes, size = frame.h * frame.w;
  const float* has = mask + image * (classes - 1);
  long long index = image * classes + c, own = plane.slot_index(count_present(has, c));
  T* result = (is_refined ? refined_result : cam_result) + index * size;
  bool is_used = c == classes - 1 ? is_refined : has[c] != 0;
  T active = 0, along = 0;
  for (int block = threadIdx.x; is_used && block < blocks; block += blockDim.x) {
    active += sums[2 * (own * blocks + block)];
    along += sums[2 * (own * blocks + block) + 1];
  }
  active = over_block<Sum>(active);
  along = over_block<Sum>(along);
  int levels_each = frame.is_direct() ? 1 : 2;
  parts += own * levels_each * levels_each * plane.pixels;
  for (int pixel = (int)first_item(); pixel < size; pixel += (int)item_stride()) {
    T sum = 0;
    if (is_used) {
      Extent<T> extent = extent_of(extent_values, extent_places, index + (is_refined ? (long long)plane.images * classes : 0));
      T inverse = T(1) / ((extent.most - extent.least) + epsilon);
      int y = pixel / frame.w, x = pixel % frame.w;
      T owed = along * inverse * inverse;
      sum = gathered(parts, y, x, plane.pixels, frame) * inverse - owed * share_at<T>(extent.most_at, y, x, frame) +
            (owed - active * inverse) * share_at<T>(extent.least_at, y, x, frame);
    }
    result[pixel] = sum;
  }
}

#define EQUIVARIANCE(T, S)                                                                                           \
  KERNEL equivariance_extents_##S(const T* cam, const T* refined, const float* mask, T* values, unsigned* places,    \
                                  FRAME_ARGUMENTS) {                                                                 \
    extents(cam, refined, mask, values, places, FRAME);                                                              \
  }                                                                                                                  \
  EXPORT(equivariance_extents_##S)                                                                                   \
  KERNEL equivariance_align_##S(const T* map, const float* mask, const T* values, const unsigned* places, T* result, \
                                int classes, int extra, double epsilon, FRAME_ARGUMENTS) {                           \
    align(map, mask, values, places, result, classes, extra, epsilon, FRAME);                                        \
  }                                                                                                                  \
  EXPORT(equivariance_align_##S)                                                                                     \
  KERNEL equivariance_compare_##S(T* a, const T* b, T* p, T* q, const float* mask, T* sums, int classes, int slots,  \
                                  int pixels, int skip_first) {                                                      \
    compare(a, b, p, q, mask, sums, classes, slots, pixels, skip_first);                                             \
  }                                                                                                                  \
  EXPORT(equivariance_compare_##S)                                                                                   \
  KERNEL equivariance_select_##S(const T* p, const T* q, const float* mask, T* values, int* ties, T* sums,           \
                                 int classes, int slots, int pixels, int largest) {                                  \
    select(p, q, mask, values, ties, sums, classes, slots, pixels, largest);                                         \
  }                                                                                                                  \
  EXPORT(equivariance_select_##S)                                                                                    \
  KERNEL equivariance_sums_##S(const T* er_sums, int er_count, const T* ecr_sums, int ecr_count, T* terms,           \
                               double er_scale, double ecr_scale) {                                                  \
    add_up(er_sums, er_count, ecr_sums, ecr_count, terms, er_scale, ecr_scale);                                      \
  }                                                                                                                  \
  EXPORT(equivariance_sums_##S)                                                                                      \
  KERNEL equivariance_spread_##S(const T* cam, const T* refined, const float* mask, const T* extent_values,          \
                                 const unsigned* extent_places, const T* er, const T* cross, const T* cut_values,    \
                                 const int* cut_ties, T* parts, T* sums, int images, int classes, int slots,         \
                                 int pixels, int view, double epsilon, double er_scale, double ecr_scale,            \
                                 FRAME_ARGUMENTS) {                                                                  \
    Plane plane = {images, classes, slots, pixels};                                                                  \
    spread(cam, refined, mask, extent_values, extent_places, er, cross, cut_values, cut_ties, parts, sums, plane,    \
           view, T(epsilon), er_scale, ecr_scale, FRAME);                                                            \
  }                                                                                                                  \
  EXPORT(equivariance_spread_##S)                                                                                    \
  KERNEL equivariance_gather_##S(const float* mask, const T* extent_values, const unsigned* extent_places,           \
                                 const T* parts, const T* sums, int blocks, T* cam_result, T* refined_result,        \
                                 int images, int classes, int slots, int pixels, double epsilon, FRAME_ARGUMENTS) {  \
    Plane plane = {images, classes, slots, pixels};                                                                  \
    gather(mask, extent_values, extent_places, parts, sums, blocks, cam_result, refined_result, plane, T(epsilon),   \
           FRAME);                                                                                                   \
  }                                                                                                                  \
  EXPORT(equivariance_gather_##S)
FOR_SUMS(EQUIVARIANCE)
