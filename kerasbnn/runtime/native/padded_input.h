// Inputs as the kernels read them: signs as bits, images with their padding around them.

#ifndef KERASBNN_PADDED_INPUT_H_
#define KERASBNN_PADDED_INPUT_H_

#include <cstdint>

#include "aligned_buffer.h"
#include "composite.h"
#include "kernel.h"
#include "window.h"

namespace kerasbnn {

class PaddedInput {
 public:
  // Units of `Layer`: words of bits, or floats.
  static int UnitsPerPixel(const Composite& composite) {
    return composite.takes_floats() ? composite.in_channels
                                    : WordsFor(composite.in_channels);
  }

  // `images` is how many of them are prepared at a time. The composite must stay.
  void Prepare(const Composite& composite, const Window& rows, const Window& columns,
               int images);

  // Returns images as the kernels read them: `inputs` itself where nothing is to do.
  const void* Of(const Kernels& kernels, const void* inputs, int images);

  int64_t row_units() const { return row_units_; }
  int64_t image_units() const { return image_units_; }

 private:
  bool is_padded() const;
  void MakeBorder();
  void CopyRow(const Kernels& kernels, const void* inputs, int64_t row, int64_t unit);

  const Composite* composite_ = nullptr;
  Window rows_{};
  Window columns_{};
  int images_ = 0;
  int64_t row_units_ = 0;
  int64_t image_units_ = 0;
  bool has_border_ = false;
  AlignedBuffer<uint32_t> padded_;  // Words of bits, or floats; empty until needed.
};

}  // namespace kerasbnn

#endif  // KERASBNN_PADDED_INPUT_H_
