#ifndef KERASBNN_ALIGNED_BUFFER_H_
#define KERASBNN_ALIGNED_BUFFER_H_

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

namespace kerasbnn {

// Memory that begins at a cache line and grows only.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivial_v<T>);

 public:
  AlignedBuffer() = default;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() { std::free(data_); }

  // Makes it at least `size` long; what it holds is lost.
  void Reserve(int64_t size) {
    if (size <= size_) return;
    std::free(data_);
    size_ = 0;
    const size_t bytes = (size * sizeof(T) + kLine - 1) / kLine * kLine;
    data_ = static_cast<T*>(std::aligned_alloc(kLine, bytes));
    if (data_ == nullptr) throw std::bad_alloc();
    size_ = size;
  }

  // Makes it `size` zeros.
  void Reset(int64_t size) {
    Reserve(size);
    if (size > 0) std::memset(data_, 0, size * sizeof(T));
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  static constexpr size_t kLine = 64;

  T* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace kerasbnn

#endif  // KERASBNN_ALIGNED_BUFFER_H_
