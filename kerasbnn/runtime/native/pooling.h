// Max-pooling of what the kernels have computed.

#ifndef KERASBNN_POOLING_H_
#define KERASBNN_POOLING_H_

#include <cstdint>

#include "window.h"

namespace kerasbnn {

// Some rows of a pooled image.
struct PoolingJob {
  Window rows;
  Window columns;
  int first_row;  // Of the outputs.
  int last_row;   // The one behind.
  int64_t origin;  // Row of the image at which the inputs begin.
};

// Of bits: a value is -1 where all of its window are, so that bits are joined by "and";
// by "or" where `takes_least` has a one, and the outputs take the least of the window.
void PoolBits(const PoolingJob& job, int words, const uint32_t* takes_least,
              const uint32_t* inputs, uint32_t* outputs);

// Of floats; the least of a window where `takes_least` is true, if it is not null.
void PoolFloats(const PoolingJob& job, int channels, const bool* takes_least,
                const float* inputs, float* outputs);

}  // namespace kerasbnn

#endif  // KERASBNN_POOLING_H_
