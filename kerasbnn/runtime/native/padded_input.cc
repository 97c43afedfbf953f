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
  values_ = composite.input;
  channels_ = composite.in_channels;
  units_ = composite.takes_floats() ? channels_ : WordsFor(channels_);
  height_ = rows.in_size;
  width_ = columns.in_size;
  pad_top_ = rows.pad_before;
  pad_left_ = columns.pad_before;
  row_units_ = columns.padded_size() * units_;
  image_units_ = rows.padded_size() * row_units_;
  is_padded_ = rows.padded_size() != height_ || columns.padded_size() != width_;
  // The border is written here only. Zeros are bits of +1, and what the kernels count
  // for them is subtracted in the base of the dot products.
  units_buffer_.Reset(images * image_units_);
  if (!is_padded_ || composite.pad_value == 0) return;
  const float value = static_cast<float>(composite.pad_value);
  uint32_t* unit = units_buffer_.data();
  for (int64_t pixel = 0; pixel < images * image_units_ / units_; ++pixel) {
    for (int i = 0; i < units_; ++i, ++unit) {
      if (composite.takes_floats()) {
        std::memcpy(unit, &value, sizeof(value));
      } else if (composite.pad_value < 0) {
        const int left = channels_ - 32 * i;
        *unit = left >= 32 ? ~uint32_t{0} : (uint32_t{1} << left) - 1;
      }
    }
  }
}

const void* PaddedInput::Of(const Kernels& kernels, const void* inputs, int images) {
  if (!is_padded_ && values_ != kSignsOfFloats && IsAligned(inputs)) return inputs;
  for (int64_t image = 0; image < images; ++image) {
    for (int row = 0; row < height_; ++row) {
      const int64_t to =
          image * image_units_ + (row + pad_top_) * row_units_ + pad_left_ * units_;
      CopyRow(kernels, inputs, image * height_ + row, to);
    }
  }
  return units_buffer_.data();
}

void PaddedInput::CopyRow(const Kernels& kernels, const void* inputs, int64_t row,
                          int64_t unit) {
  uint32_t* const to = units_buffer_.data() + unit;
  if (values_ == kSignsOfFloats) {
    const float* from = static_cast<const float*>(inputs);
    kernels.pack(from + row * width_ * channels_, to, width_, channels_);
    return;
  }
  const int64_t count = int64_t{width_} * units_;
  const uint8_t* from = static_cast<const uint8_t*>(inputs);
  std::memcpy(to, from + row * count * sizeof(*to), count * sizeof(*to));
}

}  // namespace kerasbnn
