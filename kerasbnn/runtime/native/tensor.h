#ifndef KERASBNN_TENSOR_H_
#define KERASBNN_TENSOR_H_

#include <cstddef>
#include <string>
#include <vector>

namespace kerasbnn {

enum class Type { kFloat32, kUint8, kOther };

// An array that belongs to someone else.
struct Tensor {
  Type type = Type::kOther;
  std::vector<int> dims;
  const void* data = nullptr;
  size_t bytes = 0;
};

// Such as "float32 [1, 28, 28, 3]".
std::string Describe(Type type, const std::vector<int>& dims);

}  // namespace kerasbnn

#endif  // KERASBNN_TENSOR_H_
