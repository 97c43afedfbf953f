// Where the windows of a convolution or a pooling lie, along one axis.

#ifndef KERASBNN_WINDOW_H_
#define KERASBNN_WINDOW_H_

#include <cstdint>

namespace kerasbnn {

struct Window {
  int taps;
  int stride;
  int dilation;
  int in_size;
  int out_size;
  int64_t pad_before;  // The smaller half, as TensorFlow's "SAME" has it.
  int64_t pad_after;

  int64_t padded_size() const { return pad_before + in_size + pad_after; }
  // Where a tap reads, which may lie in the padding.
  int64_t position(int64_t out, int tap) const {
    return out * stride + int64_t{tap} * dilation - pad_before;
  }
};

// The windows along an axis; out_size is 0 where not even one fits.
inline Window MakeWindow(int in_size, int taps, int stride, int dilation, bool same) {
  Window window{taps, stride, dilation, in_size, 0, 0, 0};
  const int64_t reach = int64_t{taps - 1} * dilation + 1;
  if (same) {
    window.out_size = (in_size + stride - 1) / stride;
    const int64_t needed = int64_t{window.out_size - 1} * stride + reach;
    const int64_t total = needed > in_size ? needed - in_size : 0;
    window.pad_before = total / 2;
    window.pad_after = total - total / 2;
  } else if (in_size >= reach) {
    window.out_size = static_cast<int>((in_size - reach) / stride) + 1;
  }
  return window;
}

}  // namespace kerasbnn

#endif  // KERASBNN_WINDOW_H_
