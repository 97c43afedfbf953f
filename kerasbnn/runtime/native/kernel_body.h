// The kernels of one implementation. The file that includes this one has defined, in
// namespace kerasbnn and an anonymous one inside:
//
//   kName           of the implementation
//   kLanes          32-bit lanes of a vector
//   kBitsTile       pixels that are computed at a time, as registers allow
//   kFloatsTile     the same for inputs that are floats
//   kCountedWords   words after which AddBits' counters would overflow; 0 where they are
//                   whole lanes, which never do
//   Integers, Floats                     vectors of kLanes int32, float
//   AddBits(counters, words)             adds the number of ones in each part of a lane
//   SumOfCounters(counters)              makes it one number for each lane
//   ToFloats(weights)                    of as many int8 in memory
//   MultiplyAdd(weights, values, sums)   for weights of -1, 0 and 1, so always exact
//   IsNegative(values)                   a bit for each lane
//   IsGreater(values, limits)            a bit for each lane

// No include guard: the files of two implementations never meet.
#include <cstring>

#include "kernel.h"

namespace kerasbnn {
namespace {

constexpr int kParts = kBlock / kLanes;

// Pixels of one pass: their inputs stay in the first cache while all weights go by.
constexpr int kPass = 196;

// What differs from pixel to pixel.
struct Place {
  int64_t start;       // First unit of the inputs.
  int64_t class_row;  // Where the values of its class begin.
};

template <class V, class T>
inline V Load(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

// The first `count` lanes; zeros where there are fewer than that.
template <class V, class T>
inline V LoadSome(const T* from, int count) {
  V v{};
  if (count >= kLanes) {
    std::memcpy(&v, from, sizeof(v));
  } else if (count > 0) {
    std::memcpy(&v, from, sizeof(T) * count);
  }
  return v;
}

template <class V, class T>
inline void StoreSome(T* to, V v, int count) {
  if (count >= kLanes) {
    std::memcpy(to, &v, sizeof(v));
  } else if (count > 0) {
    std::memcpy(to, &v, sizeof(T) * count);
  }
}

void Locate(const Layer& layer, int64_t pixel, int count, Place* places) {
  int x = static_cast<int>(pixel % layer.out_w);
  const int64_t row = pixel / layer.out_w;
  int y = static_cast<int>(row % layer.out_h);
  int64_t image = row / layer.out_h;
  for (int i = 0; i < count; ++i) {
    const int64_t index = layer.row_class[y] + layer.column_class[x];
    places[i].start = image * layer.image_stride + y * layer.row_stride +
                      x * layer.pixel_stride;
    places[i].class_row = index * layer.channels_padded;
    if (++x < layer.out_w) continue;
    x = 0;
    if (++y < layer.out_h) continue;
    y = 0;
    ++image;
  }
}

// From dot products to outputs. Each output kind has a loop of its own, so that no
// pointer has to be loaded anew because a store may have changed it.
template <int kPixels>
inline void Finish(const Layer& layer, const Job& job, int64_t pixel, int block,
                   const Floats (&dots)[kPixels][kParts]) {
  const int64_t channels = layer.channels;
  const float* const residual = job.residual;
  float* const floats = job.floats;
  uint32_t bits[kPixels] = {};
  for (int part = 0; part < kParts; ++part) {
    const int channel = block * kBlock + part * kLanes;
    const int count = layer.channels - channel;
    const int64_t at = (pixel - job.origin) * channels + channel;
    const Floats scale = Load<Floats>(layer.scale + channel);
    const Floats bias = Load<Floats>(layer.bias + channel);
    Floats y[kPixels];
    for (int p = 0; p < kPixels; ++p) y[p] = dots[p][part] * scale + bias;
    if (residual != nullptr) {
      for (int p = 0; p < kPixels; ++p) {
        y[p] += LoadSome<Floats>(residual + at + p * channels, count);
      }
    }
    if (floats != nullptr) {
      for (int p = 0; p < kPixels; ++p) {
        StoreSome(floats + at + p * channels, y[p], count);
      }
    } else {
      for (int p = 0; p < kPixels; ++p) {
        bits[p] |= IsNegative(y[p]) << (part * kLanes);
      }
    }
  }
  if (floats != nullptr) return;
  const int64_t blocks = layer.channels_padded / kBlock;
  uint16_t* const to = job.bits + (pixel - job.origin) * blocks + block;
  for (int p = 0; p < kPixels; ++p) to[p * blocks] = static_cast<uint16_t>(bits[p]);
}

// Counts the products that are -1, of a tile of pixels and one block of channels.
template <bool kHasZeros, int kPixels>
inline void Count(const Layer& layer, const Job& job, const Place* places, int block,
                  Integers (&sums)[kPixels][kParts]) {
  constexpr int kPlanes = kHasZeros ? 2 : 1;
  const int depth = layer.depth;
  const int32_t* const offset = layer.offset;
  const uint32_t* weights = static_cast<const uint32_t*>(layer.weights) +
                            int64_t{block} * depth * kPlanes * kBlock;
  const uint32_t* inputs[kPixels];
  for (int p = 0; p < kPixels; ++p) {
    inputs[p] = static_cast<const uint32_t*>(job.inputs) + places[p].start +
                layer.block_shift[block];
  }
  // Cleared in a loop: initializers would be a call to memset.
  for (int p = 0; p < kPixels; ++p) {
    for (int part = 0; part < kParts; ++part) sums[p][part] = Integers{};
  }
  const auto add_words = [&](int begin, int end, Integers(&counters)[kPixels][kParts]) {
    for (int k = begin; k < end; ++k, weights += kPlanes * kBlock) {
      for (int p = 0; p < kPixels; ++p) {
        const int32_t word = static_cast<int32_t>(inputs[p][offset[k]]);
        for (int part = 0; part < kParts; ++part) {
          Integers product = Load<Integers>(weights + part * kLanes) ^ word;
          if (kHasZeros) product &= Load<Integers>(weights + kBlock + part * kLanes);
          counters[p][part] = AddBits(counters[p][part], product);
        }
      }
    }
  };
  if constexpr (kCountedWords == 0) {
    add_words(0, depth, sums);
    return;
  }
  for (int k = 0; k < depth; k += kCountedWords) {
    Integers counters[kPixels][kParts];
    for (int p = 0; p < kPixels; ++p) {
      for (int part = 0; part < kParts; ++part) counters[p][part] = Integers{};
    }
    add_words(k, depth - k > kCountedWords ? k + kCountedWords : depth, counters);
    for (int p = 0; p < kPixels; ++p) {
      for (int part = 0; part < kParts; ++part) {
        sums[p][part] += SumOfCounters(counters[p][part]);
      }
    }
  }
}

// From bits to anything.
template <bool kHasZeros>
struct BitsTile {
  static constexpr int kLargest = kBitsTile;

  template <int kPixels>
  static inline void Run(const Layer& layer, const Job& job, int64_t pixel,
                         const Place* places, int block) {
    Integers sums[kPixels][kParts];
    Count<kHasZeros, kPixels>(layer, job, places, block, sums);
    Floats dots[kPixels][kParts];
    for (int p = 0; p < kPixels; ++p) {
      const int32_t* base = layer.base + places[p].class_row + block * kBlock;
      for (int part = 0; part < kParts; ++part) {
        const Integers dot =
            Load<Integers>(base + part * kLanes) - sums[p][part] - sums[p][part];
        dots[p][part] = __builtin_convertvector(dot, Floats);
      }
    }
    Finish<kPixels>(layer, job, pixel, block, dots);
  }
};

// From bits to bits, with nothing between but a threshold.
template <bool kHasZeros>
struct ThresholdTile {
  static constexpr int kLargest = kBitsTile;

  template <int kPixels>
  static inline void Run(const Layer& layer, const Job& job, int64_t pixel,
                         const Place* places, int block) {
    Integers sums[kPixels][kParts];
    Count<kHasZeros, kPixels>(layer, job, places, block, sums);
    const int64_t blocks = layer.channels_padded / kBlock;
    const uint32_t flips = layer.flips[block];
    uint16_t* const to = job.bits + (pixel - job.origin) * blocks + block;
    for (int p = 0; p < kPixels; ++p) {
      const int32_t* limit =
          layer.most_negatives + places[p].class_row + block * kBlock;
      uint32_t bits = flips;
      for (int part = 0; part < kParts; ++part) {
        const Integers limits = Load<Integers>(limit + part * kLanes);
        bits ^= IsGreater(sums[p][part], limits) << (part * kLanes);
      }
      to[p * blocks] = static_cast<uint16_t>(bits);
    }
  }
};

// From floats to anything.
struct FloatsTile {
  static constexpr int kLargest = kFloatsTile;

  template <int kPixels>
  static inline void Run(const Layer& layer, const Job& job, int64_t pixel,
                         const Place* places, int block) {
    const int depth = layer.depth;
    const int32_t* const offset = layer.offset;
    const int8_t* weights =
        static_cast<const int8_t*>(layer.weights) + int64_t{block} * depth * kBlock;
    const float* inputs[kPixels];
    Floats sums[kPixels][kParts];
    for (int p = 0; p < kPixels; ++p) {
      inputs[p] = static_cast<const float*>(job.inputs) + places[p].start +
                  layer.block_shift[block];
      for (int part = 0; part < kParts; ++part) sums[p][part] = Floats{};
    }
    for (int k = 0; k < depth; ++k, weights += kBlock) {
      for (int part = 0; part < kParts; ++part) {
        const Floats signs = ToFloats(weights + part * kLanes);
        for (int p = 0; p < kPixels; ++p) {
          sums[p][part] = MultiplyAdd(signs, inputs[p][offset[k]], sums[p][part]);
        }
      }
    }
    Finish<kPixels>(layer, job, pixel, block, sums);
  }
};

// Runs a tile of as many pixels as are left, or of the largest number.
template <class Tile, int kPixels = Tile::kLargest>
void RunTile(int left, const Layer& layer, const Job& job, int64_t pixel,
             const Place* places, int block) {
  if constexpr (kPixels > 1) {
    if (left < kPixels) {
      RunTile<Tile, kPixels - 1>(left, layer, job, pixel, places, block);
      return;
    }
  }
  Tile::template Run<kPixels>(layer, job, pixel, places, block);
}

template <class Tile>
void RunPasses(const Layer& layer, const Job& job) {
  Place places[kPass];
  for (int64_t pixel = job.first_pixel; pixel < job.last_pixel; pixel += kPass) {
    const int64_t left = job.last_pixel - pixel;
    const int count = left < kPass ? static_cast<int>(left) : kPass;
    Locate(layer, pixel, count, places);
    for (int block = job.first_block; block < job.last_block; ++block) {
      for (int i = 0; i < count; i += Tile::kLargest) {
        RunTile<Tile>(count - i, layer, job, pixel + i, places + i, block);
      }
    }
  }
}

void RunBits(const Layer& layer, const Job& job) {
  const bool has_threshold = layer.most_negatives != nullptr;
  if (layer.has_zeros) {
    has_threshold ? RunPasses<ThresholdTile<true>>(layer, job)
                  : RunPasses<BitsTile<true>>(layer, job);
  } else {
    has_threshold ? RunPasses<ThresholdTile<false>>(layer, job)
                  : RunPasses<BitsTile<false>>(layer, job);
  }
}

void RunFloats(const Layer& layer, const Job& job) {
  RunPasses<FloatsTile>(layer, job);
}

void Pack(const float* values, uint32_t* bits, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; ++row, values += channels) {
    int64_t channel = 0;
    for (; channel + 32 <= channels; channel += 32) {
      uint32_t word = 0;
      for (int i = 0; i < 32; i += kLanes) {
        word |= IsNegative(Load<Floats>(values + channel + i)) << i;
      }
      *bits++ = word;
    }
    if (channel == channels) continue;
    uint32_t word = 0;
    for (int i = 0; channel + i < channels; ++i) {
      word |= uint32_t{values[channel + i] < 0} << i;
    }
    *bits++ = word;
  }
}

constexpr Kernels kKernels = {kName, RunBits, RunFloats, Pack};

}  // namespace
}  // namespace kerasbnn
