#include "border_tables.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace kerasbnn {
namespace {

// Entries of a table; more than this is no network but a damaged file.
constexpr int64_t kMostEntries = int64_t{1} << 24;

// The largest number of products of -1 that gives the same sign as none does, where the
// outputs are base - 2 * number, times scale, plus bias, each rounded. All of these are
// monotone in the number, and so is the sign.
int32_t MostNegatives(int32_t base, int32_t largest, float scale, float bias) {
  const auto is_negative = [&](int32_t number) {
    return static_cast<float>(base - 2 * number) * scale + bias < 0;
  };
  const bool turns_to = !(scale < 0);
  int32_t first = 0, last = largest + 1;  // The first number that has turned.
  while (first < last) {
    const int32_t middle = first + (last - first) / 2;
    is_negative(middle) == turns_to ? last = middle : first = middle + 1;
  }
  return first - 1;
}

// The first tap, counted from 0, that reads at `position` or behind it.
int FirstTapAt(const Window& window, int64_t out, int64_t position) {
  const int64_t distance = position - window.position(out, 0);
  const int64_t tap = (distance + window.dilation - 1) / window.dilation;
  return distance <= 0 ? 0 : static_cast<int>(std::min<int64_t>(tap, window.taps));
}

}  // namespace

Problem BorderTables::Plan(const Composite& composite, const PackedWeights& weights,
                           const Window& rows, const Window& columns, Layer* layer) {
  // Other padding is part of the inputs, and so is that of floats.
  const bool pads_with_zeros = !weights.tap_sums.empty();
  std::vector<Inside> inside_rows, inside_columns;
  row_class_ = Classify(rows, pads_with_zeros, &inside_rows);
  column_class_ = Classify(columns, pads_with_zeros, &inside_columns);
  const int64_t column_classes = static_cast<int64_t>(inside_columns.size());
  const int64_t classes = static_cast<int64_t>(inside_rows.size()) * column_classes;
  if (classes > kMostEntries / layer->channels_padded) {
    return "has windows that meet the border in " + std::to_string(classes) +
           " ways, which is too many for " + std::to_string(layer->channels) +
           " channels";
  }
  for (int32_t& row_class : row_class_) {
    row_class = static_cast<int32_t>(row_class * column_classes);
  }
  PlanBase(composite, weights, inside_rows, inside_columns, layer->channels_padded);
  layer->base = base_.data();
  layer->row_class = row_class_.data();
  layer->column_class = column_class_.data();
  const bool are_thresholds =
      composite.yields_bits() && !composite.residual && !composite.takes_floats();
  if (are_thresholds) PlanThresholds(classes, *layer);
  layer->most_negatives = are_thresholds ? most_negatives_.data() : nullptr;
  layer->flips = are_thresholds ? flips_.data() : nullptr;
  return "";
}

std::vector<int32_t> BorderTables::Classify(const Window& window, bool pads_with_zeros,
                                            std::vector<Inside>* classes) {
  classes->clear();
  if (!pads_with_zeros) {
    classes->push_back({0, window.taps});
    return std::vector<int32_t>(window.out_size, 0);
  }
  std::vector<int32_t> class_of(window.out_size);
  std::map<std::pair<int, int>, int32_t> known;
  for (int out = 0; out < window.out_size; ++out) {
    const int first = FirstTapAt(window, out, 0);
    const int last = FirstTapAt(window, out, window.in_size);
    const auto number = static_cast<int32_t>(classes->size());
    const auto [found, is_new] = known.emplace(std::pair(first, last), number);
    if (is_new) classes->push_back({first, last});
    class_of[out] = found->second;
  }
  return class_of;
}

void BorderTables::PlanBase(const Composite& composite, const PackedWeights& weights,
                            const std::vector<Inside>& rows,
                            const std::vector<Inside>& columns, int channels_padded) {
  base_.Reset(static_cast<int64_t>(rows.size() * columns.size()) * channels_padded);
  const bool pads_with_zeros = !weights.tap_sums.empty();
  // Sums over the rectangles of taps from the first one on.
  const int width = composite.kernel_w + 1;
  std::vector<int32_t> sums(int64_t{composite.kernel_h + 1} * width);
  const int32_t* tap_sums = weights.tap_sums.data();
  for (int out = 0; out < composite.out_channels; ++out) {
    for (int tap = 0; pads_with_zeros && tap < composite.taps(); ++tap) {
      const int64_t row = tap / composite.kernel_w;
      int32_t* const corner = &sums[row * width + tap % composite.kernel_w];
      corner[width + 1] = *tap_sums++ + corner[width] + corner[1] - corner[0];
    }
    int32_t* base = base_.data() + out;
    for (const Inside& row : rows) {
      const int32_t* const top = &sums[int64_t{row.first} * width];
      const int32_t* const bottom = &sums[int64_t{row.last} * width];
      for (const Inside& column : columns) {
        const int32_t inside = bottom[column.last] - bottom[column.first] -
                               top[column.last] + top[column.first];
        const int32_t outside = sums.back() - inside;
        // The kernels count zeros as 1.
        *base = weights.counts[out] - outside;
        base += channels_padded;
      }
    }
  }
}

void BorderTables::PlanThresholds(int64_t classes, const Layer& layer) {
  const int channels = layer.channels_padded;
  most_negatives_.Reset(classes * channels);
  flips_.assign(channels / kBlock, 0);
  for (int i = 0; i < channels; ++i) {
    if (layer.scale[i] < 0) flips_[i / kBlock] |= uint16_t{1} << (i % kBlock);
  }
  for (int64_t at = 0; at < classes * channels; ++at) {
    const int i = static_cast<int>(at % channels);
    // Beyond the channels that there are, scale and bias are 0 and so are the bits.
    most_negatives_[at] =
        MostNegatives(base_[at], 32 * layer.depth, layer.scale[i], layer.bias[i]);
  }
}

}  // namespace kerasbnn
