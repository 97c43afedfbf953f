#include "weights.h"

#include <algorithm>
#include <cstring>

#include "kernel.h"

namespace kerasbnn {
namespace {

uint32_t WordAt(const uint8_t* bytes, int64_t index) {
  uint32_t word;
  std::memcpy(&word, bytes + 4 * index, sizeof(word));
  return word;
}

bool BitAt(const uint8_t* bytes, int64_t bit) {
  return bytes[bit / 8] >> (bit % 8) & 1;
}

// The even bits of two words, the first word's in the lower half.
uint32_t EvenBits(uint32_t low, uint32_t high) {
  uint32_t halves[2] = {low, high};
  for (uint32_t& x : halves) {
    x &= 0x55555555;
    x = (x | x >> 1) & 0x33333333;
    x = (x | x >> 2) & 0x0f0f0f0f;
    x = (x | x >> 4) & 0x00ff00ff;
    x = (x | x >> 8) & 0x0000ffff;
  }
  return halves[0] | halves[1] << 16;
}

}  // namespace

int Filters::FirstChannel(int out) const {
  if (composite_.is_depthwise()) {
    return out / (composite_.out_channels / composite_.in_channels);
  }
  return out / composite_.group_out_channels() * composite_.group_in_channels();
}

int Filters::ChannelCount() const {
  return composite_.is_depthwise() ? 1 : composite_.group_in_channels();
}

const uint8_t* Filters::Row(int out, int tap) const {
  const int64_t row_bytes = int64_t{4} * composite_.weight_bits;
  if (composite_.is_depthwise()) {
    return bytes_ + tap * row_bytes * WordsFor(composite_.out_channels);
  }
  const int64_t row = int64_t{out} * composite_.taps() + tap;
  return bytes_ + row * row_bytes * WordsFor(composite_.group_in_channels());
}

int Filters::Weight(int out, int tap, int channel) const {
  const uint8_t* row = Row(out, tap);
  const int64_t place = composite_.is_depthwise() ? out : channel;
  if (!composite_.is_ternary()) return BitAt(row, place) ? -1 : 1;
  if (BitAt(row, 2 * place + 1)) return 0;
  return BitAt(row, 2 * place) ? -1 : 1;
}

uint32_t Filters::Negative(int out, int tap, int word) const {
  const uint8_t* row = Row(out, tap);
  return composite_.is_ternary()
             ? EvenBits(WordAt(row, 2 * word), WordAt(row, 2 * word + 1))
             : WordAt(row, word);
}

uint32_t Filters::NonZero(int out, int tap, int word) const {
  const uint32_t valid = ValidBits(composite_.group_in_channels(), word);
  if (!composite_.is_ternary()) return valid;
  const uint8_t* row = Row(out, tap);
  return valid &
         ~EvenBits(WordAt(row, 2 * word) >> 1, WordAt(row, 2 * word + 1) >> 1);
}

namespace {

// Units [first, first + units) of each tap that a block reads.
class Reach {
 public:
  Reach(const Composite& composite, const Filters& filters, int unit, int blocks)
      : unit_(unit), shifts_(blocks) {
    const int total = (composite.in_channels + unit - 1) / unit;
    std::vector<int> ends(blocks);
    for (int block = 0; block < blocks; ++block) {
      const int last = composite.out_channels - 1;
      const int first_out = std::min(block * kBlock, last);
      const int last_out = std::min(first_out + kBlock - 1, last);
      shifts_[block] = filters.FirstChannel(first_out) / unit;
      const int end = filters.FirstChannel(last_out) + filters.ChannelCount();
      ends[block] = (end + unit - 1) / unit;
      units_ = std::max(units_, ends[block] - shifts_[block]);
    }
    // Blocks that need fewer units than others do not read beyond the last one.
    for (int32_t& shift : shifts_) shift = std::min<int32_t>(shift, total - units_);
  }

  int units() const { return units_; }
  const std::vector<int32_t>& shifts() const { return shifts_; }
  // Where a channel is among the units of a block.
  int Place(int channel, int block) const { return channel - shifts_[block] * unit_; }

 private:
  int unit_;
  int units_ = 0;
  std::vector<int32_t> shifts_;
};

}  // namespace

void PackedWeights::Pack(const Composite& c, const uint8_t* bytes, int blocks,
                         bool needs_tap_sums) {
  const Filters filters(c, bytes);
  const bool is_float = c.takes_floats();
  const bool is_whole = c.groups == 1 && !c.is_depthwise();
  const Reach reach(c, filters, is_float ? 1 : 32, blocks);
  units_per_tap = reach.units();
  block_shift = reach.shifts();
  has_zeros = !is_float && (c.is_ternary() || !is_whole);
  const int planes = has_zeros ? 2 : 1;
  const int64_t depth = int64_t{c.taps()} * units_per_tap;
  const int64_t size = int64_t{blocks} * depth * kBlock;
  is_float ? floats.Reset(size) : bits.Reset(size * planes);
  counts.assign(c.out_channels, 0);
  if (needs_tap_sums) tap_sums.assign(int64_t{c.out_channels} * c.taps(), 0);

  for (int out = 0; out < c.out_channels; ++out) {
    const int block = out / kBlock;
    const int lane = out % kBlock;
    for (int tap = 0; tap < c.taps(); ++tap) {
      const int64_t row = block * depth + int64_t{tap} * units_per_tap;
      int non_zeros = 0, negatives = 0;
      if (!is_float && is_whole) {
        for (int word = 0; word < units_per_tap; ++word) {
          // What is behind the last channel counts as 0, whatever a file has there.
          const uint32_t non_zero = filters.NonZero(out, tap, word);
          const uint32_t negative = filters.Negative(out, tap, word) & non_zero;
          const int64_t at = (row + word) * planes * kBlock + lane;
          bits[at] = negative;
          if (has_zeros) bits[at + kBlock] = non_zero;
          non_zeros += __builtin_popcount(non_zero);
          negatives += __builtin_popcount(negative);
        }
      } else {
        const int first = reach.Place(filters.FirstChannel(out), block);
        for (int i = 0; i < filters.ChannelCount(); ++i) {
          const int weight = filters.Weight(out, tap, i);
          const int place = first + i;
          non_zeros += weight != 0;
          negatives += weight < 0;
          if (is_float) {
            floats[(row + place) * kBlock + lane] = static_cast<int8_t>(weight);
            continue;
          }
          const uint32_t bit = uint32_t{1} << (place % 32);
          const int64_t at = (row + place / 32) * planes * kBlock + lane;
          if (weight < 0) bits[at] |= bit;
          if (weight != 0) bits[at + kBlock] |= bit;
        }
      }
      counts[out] += non_zeros;
      if (needs_tap_sums) {
        tap_sums[int64_t{out} * c.taps() + tap] = non_zeros - 2 * negatives;
      }
    }
  }
}

}  // namespace kerasbnn
