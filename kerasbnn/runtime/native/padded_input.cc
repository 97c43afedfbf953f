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
  composite_ = &composite;
  rows_ = rows;
  columns_ = columns;
  images_ = images;
  row_units_ = columns.padded_size() * UnitsPerPixel(composite);
  image_units_ = rows.padded_size() * row_units_;
  has_border_ = false;
}

bool PaddedInput::is_padded() const {
  return rows_.padded_size() != rows_.in_size ||
         columns_.padded_size() != columns_.in_size;
}

const void* PaddedInput::Of(const Kernels& kernels, const void* inputs, int images) {
  const bool takes_signs = composite_->input == kSignsOfFloats;
  if (!is_padded() && !takes_signs && IsAligned(inputs)) return inputs;
  // What lies around the images stays from run to run.
  if (!has_border_) MakeBorder();
  const int64_t left = columns_.pad_before * UnitsPerPixel(*composite_);
  for (int64_t image = 0; image < images; ++image) {
    for (int row = 0; row < rows_.in_size; ++row) {
      const int64_t to =
          image * image_units_ + (row + rows_.pad_before) * row_units_ + left;
      CopyRow(kernels, inputs, image * rows_.in_size + row, to);
    }
  }
  return padded_.data();
}

void PaddedInput::MakeBorder() {
  // Zeros are bits of +1, and what the kernels count for them is subtracted in the base
  // of the dot products.
  padded_.Reset(images_ * image_units_);
  has_border_ = true;
  if (!is_padded() || composite_->pad_value == 0) return;
  const float value = static_cast<float>(composite_->pad_value);
  const int units = UnitsPerPixel(*composite_);
  uint32_t* unit = padded_.data();
  for (int64_t pixel = 0; pixel < images_ * image_units_ / units; ++pixel) {
    for (int i = 0; i < units; ++i, ++unit) {
      if (composite_->takes_floats()) {
        std::memcpy(unit, &value, sizeof(value));
      } else if (composite_->pad_value < 0) {
        *unit = ValidBits(composite_->in_channels, i);
      }
    }
  }
}

void PaddedInput::CopyRow(const Kernels& kernels, const void* inputs, int64_t row,
                          int64_t unit) {
  uint32_t* const to = padded_.data() + unit;
  const int64_t pixels = columns_.in_size;
  if (composite_->input == kSignsOfFloats) {
    const int64_t channels = composite_->in_channels;
    const float* from = static_cast<const float*>(inputs);
    kernels.pack(from + row * pixels * channels, to, pixels, channels);
    return;
  }
  const int64_t bytes = pixels * UnitsPerPixel(*composite_) * sizeof(*to);
  std::memcpy(to, static_cast<const uint8_t*>(inputs) + row * bytes, bytes);
}

}  // namespace kerasbnn
