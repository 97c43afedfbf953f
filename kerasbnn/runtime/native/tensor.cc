#include "tensor.h"

namespace kerasbnn {

std::string Describe(Type type, const std::vector<int>& dims) {
  std::string text = type == Type::kFloat32 ? "float32 ["
                     : type == Type::kUint8 ? "uint8 ["
                                            : "another type [";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(dims[i]);
  }
  return text + "]";
}

}  // namespace kerasbnn
