#include "pooling.h"

#include <algorithm>

namespace kerasbnn {
namespace {

// Calls `first(out, in)` for the first input pixel of each window and `next(out, in)`
// for the others, with what is beyond the border left out.
template <class First, class Next>
void ForEachWindow(const PoolingJob& job, First first, Next next) {
  const Window& rows = job.rows;
  const Window& columns = job.columns;
  int64_t out = 0;
  for (int y = job.first_row; y < job.last_row; ++y) {
    const int64_t top = std::max<int64_t>(rows.position(y, 0), 0);
    const int64_t bottom =
        std::min<int64_t>(rows.position(y, rows.taps - 1), rows.in_size - 1);
    for (int x = 0; x < columns.out_size; ++x, ++out) {
      const int64_t left = std::max<int64_t>(columns.position(x, 0), 0);
      const int64_t right =
          std::min<int64_t>(columns.position(x, columns.taps - 1), columns.in_size - 1);
      for (int64_t i = top; i <= bottom; ++i) {
        for (int64_t j = left; j <= right; ++j) {
          const int64_t in = (i - job.origin) * columns.in_size + j;
          i == top && j == left ? first(out, in) : next(out, in);
        }
      }
    }
  }
}

}  // namespace

void PoolBits(const PoolingJob& job, int words, const uint32_t* takes_least,
              const uint32_t* inputs, uint32_t* outputs) {
  ForEachWindow(
      job,
      [=](int64_t out, int64_t in) {
        for (int i = 0; i < words; ++i) {
          outputs[out * words + i] = inputs[in * words + i];
        }
      },
      [=](int64_t out, int64_t in) {
        for (int i = 0; i < words; ++i) {
          const uint32_t one = outputs[out * words + i];
          const uint32_t other = inputs[in * words + i];
          outputs[out * words + i] =
              (one & other) | ((one | other) & takes_least[i]);
        }
      });
}

void PoolFloats(const PoolingJob& job, int channels, const bool* takes_least,
                const float* inputs, float* outputs) {
  ForEachWindow(
      job,
      [=](int64_t out, int64_t in) {
        for (int i = 0; i < channels; ++i) {
          outputs[out * channels + i] = inputs[in * channels + i];
        }
      },
      [=](int64_t out, int64_t in) {
        for (int i = 0; i < channels; ++i) {
          const float one = outputs[out * channels + i];
          const float other = inputs[in * channels + i];
          const bool takes_other =
              takes_least != nullptr && takes_least[i] ? other < one : other > one;
          outputs[out * channels + i] = takes_other ? other : one;
        }
      });
}

}  // namespace kerasbnn
