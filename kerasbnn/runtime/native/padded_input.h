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

  // `images` is how many of them are prepared at a time.
  void Prepare(const Composite& composite, const Window& rows, const Window& columns,
               int images);

  // Returns images as the kernels read them: `inputs` itself where nothing is to do.
  const void* Of(const Kernels& kernels, const void* inputs, int images);

  int64_t row_units() const { return row_units_; }
  int64_t image_units() const { return image_units_; }

 private:
  void MakeBorder();
  void CopyRow(const Kernels& kernels, const void* inputs, int64_t row, int64_t unit);

  bool takes_signs_ = false;  // Of floats.
  int channels_ = 0;
  int units_ = 0;
  int height_ = 0;
  int width_ = 0;
  bool is_padded_ = false;
  bool has_border_ = false;
  int images_ = 0;
  bool takes_floats_ = false;
  int pad_value_ = 0;
  int64_t pad_top_ = 0;
  int64_t pad_left_ = 0;
  int64_t row_units_ = 0;
  int64_t image_units_ = 0;
  AlignedBuffer<uint32_t> padded_;  // Empty until it is needed.
};

}  // namespace kerasbnn

#endif  // KERASBNN_PADDED_INPUT_H_
