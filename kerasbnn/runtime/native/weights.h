// The weights of a composite, in the order in which kernels read them.

#ifndef KERASBNN_WEIGHTS_H_
#define KERASBNN_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "aligned_buffer.h"
#include "composite.h"

namespace kerasbnn {

// Filters of a file: one bit for each weight, or two.
class Filters {
 public:
  Filters(const Composite& composite, const uint8_t* bytes)
      : composite_(composite), bytes_(bytes) {}

  // The first input channel that an output channel sees, and how many those are.
  int FirstChannel(int out) const;
  int ChannelCount() const;

  // -1, 0 or 1; `channel` counts from the first that the output channel sees.
  int Weight(int out, int tap, int channel) const;

  // The bits of 32 channels. Only of composites that are not depthwise.
  uint32_t Negative(int out, int tap, int word) const;
  uint32_t NonZero(int out, int tap, int word) const;

 private:
  const uint8_t* Row(int out, int tap) const;

  const Composite& composite_;
  const uint8_t* bytes_;
};

// Weights as `Layer` has them.
//
// All blocks of output channels read as many units of inputs, each from a place of its
// own: with groups, and in depthwise convolutions, a block sees some of the input
// channels only.
struct PackedWeights {
  AlignedBuffer<uint32_t> bits;
  AlignedBuffer<int8_t> floats;
  bool has_zeros = false;
  int units_per_tap = 0;
  std::vector<int32_t> block_shift;

  // For each output channel, how many weights are not 0, and the sum of the weights of
  // each tap; empty unless asked for.
  std::vector<int32_t> counts;    // [out]
  std::vector<int32_t> tap_sums;  // [out][tap]

  void Pack(const Composite& composite, const uint8_t* filters, int blocks,
            bool needs_tap_sums);
};

}  // namespace kerasbnn

#endif  // KERASBNN_WEIGHTS_H_
