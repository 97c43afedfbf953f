// For any processor: vectors of 16 bytes, which compilers make of what there is.

#include <cstdint>

#include "kernel.h"

namespace kerasbnn {
namespace {

constexpr char kName[] = "generic";
constexpr int kLanes = 4;
constexpr int kBitsTile = 2;
constexpr int kFloatsTile = 4;

using Integers = int32_t __attribute__((vector_size(4 * kLanes)));
using Words = uint32_t __attribute__((vector_size(4 * kLanes)));
using Floats = float __attribute__((vector_size(4 * kLanes)));

// A byte counts up to 8 ones of a word.
constexpr int kCountedWords = 255 / 8;

inline Integers AddBits(Integers counters, Integers words) {
  Words x = reinterpret_cast<Words>(words);
  x -= (x >> 1) & 0x55555555;
  x = (x & 0x33333333) + ((x >> 2) & 0x33333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f;
  return reinterpret_cast<Integers>(reinterpret_cast<Words>(counters) + x);
}

inline Integers SumOfCounters(Integers counters) {
  Words x = reinterpret_cast<Words>(counters);
  x = (x & 0x00ff00ff) + ((x >> 8) & 0x00ff00ff);
  return reinterpret_cast<Integers>((x & 0xffff) + (x >> 16));
}

inline Floats ToFloats(const int8_t* weights) {
  const Integers values = {weights[0], weights[1], weights[2], weights[3]};
  return __builtin_convertvector(values, Floats);
}

inline Floats MultiplyAdd(Floats weights, float value, Floats sums) {
  return sums + weights * value;
}

inline uint32_t BitsOf(Integers masks) {
  const Integers bits = masks & Integers{1, 2, 4, 8};
  return static_cast<uint32_t>(bits[0] | bits[1] | bits[2] | bits[3]);
}

inline uint32_t IsNegative(Floats values) { return BitsOf(values < 0.0f); }

inline uint32_t IsGreater(Integers values, Integers limits) {
  return BitsOf(values > limits);
}

}  // namespace
}  // namespace kerasbnn

#include "kernel_body.h"

namespace kerasbnn {

const Kernels kGenericKernels = kKernels;

}  // namespace kerasbnn
