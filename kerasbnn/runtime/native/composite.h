// What a composite computes: the attributes of docs/format.md.

#ifndef KERASBNN_COMPOSITE_H_
#define KERASBNN_COMPOSITE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "problem.h"

namespace kerasbnn {

constexpr int kFormatVersion = 1;

enum class Kind { kDense, kConv2d, kDepthwiseConv2d };
enum Values : int { kBits = 0, kSignsOfFloats = 1, kFloats = 2 };

struct Composite {
  Kind kind;
  int in_channels;
  int out_channels;
  int kernel_h;
  int kernel_w;
  int stride_h;
  int stride_w;
  int dilation_h;
  int dilation_w;
  int same;
  int pad_value;
  int groups;
  int weight_bits;
  int input;
  int output;
  int pool_h;
  int pool_w;
  int pool_stride_h;
  int pool_stride_w;
  int pool_same;
  int pool_first;
  int residual;

  int taps() const { return kernel_h * kernel_w; }
  bool is_depthwise() const { return kind == Kind::kDepthwiseConv2d; }
  bool is_pooled() const { return pool_h > 0; }
  bool is_ternary() const { return weight_bits == 2; }
  bool takes_floats() const { return input == kFloats; }
  bool yields_bits() const { return output == kBits; }
  int group_in_channels() const { return in_channels / groups; }
  int group_out_channels() const { return out_channels / groups; }
  // Number of weights of each output channel.
  int64_t fan_in() const {
    return int64_t{taps()} * (is_depthwise() ? 1 : group_in_channels());
  }
  // Inputs are x, filters, scale, bias and, where there is one, the residual.
  int input_count() const { return 4 + residual; }

  std::vector<int> FiltersShape() const;
};

// Number of 32-bit words that hold a bit for each channel.
inline int WordsFor(int channels) { return (channels + 31) / 32; }

// Ones for those of a word's channels that there are.
inline uint32_t ValidBits(int channels, int word) {
  const int left = channels - 32 * word;
  return left >= 32 ? ~uint32_t{0} : (uint32_t{1} << left) - 1;
}

// Whether a composite of this name and version is meant for this library; if not, its
// decomposition must run.
bool IsOurs(const char* name, int version, const uint8_t* attributes, size_t size);

// Reads and checks the attributes of a composite.
Problem ParseComposite(const char* name, const uint8_t* attributes, size_t size,
                       Composite* composite);

}  // namespace kerasbnn

#endif  // KERASBNN_COMPOSITE_H_
