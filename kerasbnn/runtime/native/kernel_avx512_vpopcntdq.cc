// For processors that count the ones of sixteen words in one instruction.

#include <immintrin.h>

#include <cstdint>

#include "kernel.h"

namespace kerasbnn {
namespace {

constexpr char kName[] = "avx512-vpopcntdq";
constexpr int kLanes = 16;
// 7 divides the usual sizes of images, and larger tiles make the compiler spill.
constexpr int kBitsTile = 7;
// Eight or more sums hide the latency of two multipliers.
constexpr int kFloatsTile = 10;

using Integers = int32_t __attribute__((vector_size(4 * kLanes)));
using Floats = float __attribute__((vector_size(4 * kLanes)));

constexpr int kCountedWords = 0;

inline Integers AddBits(Integers counters, Integers words) {
  return counters + reinterpret_cast<Integers>(
                        _mm512_popcnt_epi32(reinterpret_cast<__m512i>(words)));
}

inline Integers SumOfCounters(Integers counters) { return counters; }

inline Floats ToFloats(const int8_t* weights) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

inline Floats MultiplyAdd(Floats weights, float value, Floats sums) {
  return _mm512_fmadd_ps(weights, _mm512_set1_ps(value), sums);
}

inline uint32_t IsNegative(Floats values) {
  return _mm512_cmp_ps_mask(values, _mm512_setzero_ps(), _CMP_LT_OQ);
}

inline uint32_t IsGreater(Integers values, Integers limits) {
  return _mm512_cmpgt_epi32_mask(reinterpret_cast<__m512i>(values),
                                 reinterpret_cast<__m512i>(limits));
}

}  // namespace
}  // namespace kerasbnn

#include "kernel_body.h"

namespace kerasbnn {

const Kernels kAvx512VpopcntdqKernels = kKernels;

}  // namespace kerasbnn
