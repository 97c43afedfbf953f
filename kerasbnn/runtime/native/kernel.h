// What an implementation computes: dot products at many places of an image.
//
// Plain data only, so that files which are compiled for other instruction sets share no
// inline function with the rest.

#ifndef KERASBNN_KERNEL_H_
#define KERASBNN_KERNEL_H_

#include <cstdint>

namespace kerasbnn {

// Output channels are computed in blocks, a lane of 32 bits for each: nothing is ever
// summed up across lanes.
constexpr int kBlock = 16;

// A layer as the kernels see it. A *unit* of inputs is a word of 32 bits, or a float.
//
// An output position ("pixel") starts at some unit of the inputs; weight number k meets
// the unit at start + block_shift[block] + offset[k]. Dense layers, groups and depthwise
// convolutions differ in these tables only.
struct Layer {
  // Bits: uint32 [blocks][depth][planes][kBlock], the planes being signs and, where
  // weights may be 0, which of them are not 0. Floats: int8 [blocks][depth][kBlock].
  const void* weights;
  bool has_zeros;
  int depth;
  const int32_t* offset;       // [depth]
  const int32_t* block_shift;  // [blocks]

  // Bits: dot = base - 2 * (number of products that are -1), where base is the number of
  // weights, less what padding with zeros adds. It depends on the class of the pixel's
  // row and column: which taps lie beyond the border.
  const int32_t* base;          // [classes][channels_padded]
  const int32_t* row_class;     // [out_h], counted in column classes
  const int32_t* column_class;  // [out_w]

  // Where outputs are bits of dot products alone, the same without floats: a bit is
  // whether there are more products of -1 than `most_negatives`, turned over where
  // `flips` has a one. Null for other outputs.
  const int32_t* most_negatives;  // [classes][channels_padded]
  const uint16_t* flips;          // [blocks]

  const float* scale;  // [channels_padded], 0 beyond `channels`
  const float* bias;   // [channels_padded], the same
  int channels;
  int channels_padded;  // A multiple of kBlock.

  int out_h;
  int out_w;
  int64_t image_stride;  // In units of the inputs.
  int64_t row_stride;    // From one output row to the next.
  int64_t pixel_stride;
};

// Some pixels of a layer, counted through all images.
struct Job {
  const void* inputs;  // uint32 bits or floats.
  int64_t first_pixel;
  int64_t last_pixel;  // The one behind.
  int first_block;
  int last_block;

  // All begin at the pixel `origin`. One of the outputs is null.
  int64_t origin;
  const float* residual;  // [pixel][channels], or null.
  float* floats;          // [pixel][channels]
  uint16_t* bits;         // [pixel][channels_padded / kBlock]
};

struct Kernels {
  const char* name;
  void (*run_bits)(const Layer&, const Job&);
  void (*run_floats)(const Layer&, const Job&);
  // Writes a bit for each value that is negative; rows begin at words.
  void (*pack)(const float* values, uint32_t* bits, int64_t rows, int64_t channels);
};

extern const Kernels kGenericKernels;
#ifdef KERASBNN_AVX512_VPOPCNTDQ
extern const Kernels kAvx512VpopcntdqKernels;
#endif

}  // namespace kerasbnn

#endif  // KERASBNN_KERNEL_H_
