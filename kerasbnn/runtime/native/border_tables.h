// What depends on where a window lies: how many of its taps are beyond the border.

#ifndef KERASBNN_BORDER_TABLES_H_
#define KERASBNN_BORDER_TABLES_H_

#include <cstdint>
#include <vector>

#include "aligned_buffer.h"
#include "composite.h"
#include "kernel.h"
#include "problem.h"
#include "weights.h"
#include "window.h"

namespace kerasbnn {

// The tables of `Layer` with a row for each class: positions whose windows have the same
// taps inside of the image are of one class.
class BorderTables {
 public:
  // Makes the tables and lets the layer point to them. Scale, bias and the number of
  // channels must be the layer's already.
  Problem Plan(const Composite& composite, const PackedWeights& weights,
               const Window& rows, const Window& columns, Layer* layer);

 private:
  // Taps [first, last) of a window, along one axis.
  struct Inside {
    int first;
    int last;
  };

  static std::vector<int32_t> Classify(const Window& window, bool pads_with_zeros,
                                       std::vector<Inside>* classes);
  void PlanBase(const Composite& composite, const PackedWeights& weights,
                const std::vector<Inside>& rows, const std::vector<Inside>& columns,
                int channels_padded);
  void PlanThresholds(int64_t classes, const Layer& layer);

  std::vector<int32_t> row_class_;
  std::vector<int32_t> column_class_;
  AlignedBuffer<int32_t> base_;
  AlignedBuffer<int32_t> most_negatives_;
  std::vector<uint16_t> flips_;
};

}  // namespace kerasbnn

#endif  // KERASBNN_BORDER_TABLES_H_
