// A value that is there already.
#include "../device/kernel.cuh"

template <class T> __device__ void copy_value(const T* x, T* y, long long count) {
  for (long long i = first_item(); i < count; i += item_stride()) y[i] = x[i];
}

#define COPY_VALUE(T, S)                                                                      \
  KERNEL copy_value_##S(const T* x, T* y, long long count) { copy_value(x, y, count); }       \
  EXPORT(copy_value_##S)
FOR_FLOATS(COPY_VALUE)
