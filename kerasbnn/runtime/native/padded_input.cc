#include "padded_input.h"

#include <cstring>

namespace kerasbnn {
namespace {

// Kernels read whole words and floats.
bool IsAligned(const void* data) {
  return reinterpret_cast<uintptr_t>(data) % alignof(uint32_t) == 0;
}

}  // namespace

void PaddedInput::Prepare(const Composite& composite, const Window& rows,
                          const Window& columns, int images) {
  takes_signs_ = composite.input == kSignsOfFloats;
  takes_floats_ = composite.takes_floats();
  pad_value_ = composite.pad_value;
  channels_ = composite.in_channels;
  units_ = UnitsPerPixel(composite);
  images_ = images;
  height_ = rows.in_size;
  width_ = columns.in_size;
  pad_top_ = rows.pad_before;
  pad_left_ = columns.pad_before;
  row_units_ = columns.padded_size() * units_;
  image_units_ = rows.padded_size() * row_units_;
  is_padded_ = rows.padded_size() != height_ || columns.padded_size() != width_;
  has_border_ = false;
}

const void* PaddedInput::Of(const Kernels& kernels, const void* inputs, int images) {
  if (!is_padded_ && !takes_signs_ && IsAligned(inputs)) return inputs;
  // What lies around the images stays from run to run.
  if (!has_border_) MakeBorder();
  for (int64_t image = 0; image < images; ++image) {
    for (int row = 0; row < height_; ++row) {
      const int64_t to =
          image * image_units_ + (row + pad_top_) * row_units_ + pad_left_ * units_;
      CopyRow(kernels, inputs, image * height_ + row, to);
    }
  }
  return padded_.data();
}

void PaddedInput::MakeBorder() {
  // Zeros are bits of +1, and what the kernels count for them is subtracted in the base
  // of the dot products.
  padded_.Reset(images_ * image_units_);
  has_border_ = true;
  if (!is_padded_ || pad_value_ == 0) return;
  const float value = static_cast<float>(pad_value_);
  uint32_t* unit = padded_.data();
  for (int64_t pixel = 0; pixel < images_ * image_units_ / units_; ++pixel) {
    for (int i = 0; i < units_; ++i, ++unit) {
      if (takes_floats_) {
        std::memcpy(unit, &value, sizeof(value));
      } else if (pad_value_ < 0) {
        *unit = ValidBits(channels_, i);
      }
    }
  }
}

void PaddedInput::CopyRow(const Kernels& kernels, const void* inputs, int64_t row,
                          int64_t unit) {
  uint32_t* const to = padded_.data() + unit;
  if (takes_signs_) {
    const float* from = static_cast<const float*>(inputs);
    kernels.pack(from + row * width_ * channels_, to, width_, channels_);
    return;
  }
  const int64_t count = int64_t{width_} * units_;
  const uint8_t* from = static_cast<const uint8_t*>(inputs);
  std::memcpy(to, from + row * count * sizeof(*to), count * sizeof(*to));
}

}  // namespace kerasbnn
