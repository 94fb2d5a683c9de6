// Kernels with a mistake each, and one without, for the tests of the emulator.
#pragma once

namespace faulty {

// The values in reverse, by a block of as many threads.
inline void reverse(const float* x, float* y, int count, bool waits) {
  DYNAMIC_SHARED(float, values);
  values[threadIdx.x] = x[threadIdx.x];
  if (waits) __syncthreads();
  y[threadIdx.x] = values[count - 1 - threadIdx.x];
}

KERNEL faulty_none(const float* x, float* y, int count) { reverse(x, y, count, true); }
EXPORT(faulty_none)

// Other threads may not have written yet.
KERNEL faulty_no_barrier(const float* x, float* y, int count) { reverse(x, y, count, false); }
EXPORT(faulty_no_barrier)

// One element too many.
KERNEL faulty_beside(const float* x, float* y, int count) {
  y[threadIdx.x] = x[threadIdx.x];
  if ((int)threadIdx.x == count - 1) y[count] = 1.0f;
}
EXPORT(faulty_beside)

KERNEL faulty_before(const float* x, float* y, int count) {
  y[threadIdx.x] = x[threadIdx.x];
  if ((int)threadIdx.x == count - 1) y[-1] = 1.0f;
}
EXPORT(faulty_before)

// Into what it was to read.
KERNEL faulty_input(const float* x, float* y, int count) {
  y[threadIdx.x] = x[threadIdx.x];
  if (count > 0) const_cast<float*>(x)[0] += 1.0f;
}
EXPORT(faulty_input)

// The last element is forgotten.
KERNEL faulty_unwritten(const float* x, float* y, int count) {
  if ((int)threadIdx.x < count - 1) y[threadIdx.x] = x[threadIdx.x];
}
EXPORT(faulty_unwritten)

// One half of a warp waits for the block, the other one for the warp.
KERNEL faulty_divergent(const float* x, float* y, int count) {
  if ((int)threadIdx.x < count / 2) __syncthreads();
  else __syncwarp();
  y[threadIdx.x] = x[threadIdx.x];
}
EXPORT(faulty_divergent)

// Blocks after the first one read what it left in shared memory. All of them write the same elements.
KERNEL faulty_stale(const float* x, float* y, int count) {
  DYNAMIC_SHARED(float, values);
  if (blockIdx.x == 0) values[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = values[count - 1 - threadIdx.x];
}
EXPORT(faulty_stale)

}  // namespace faulty
