// A small C interface: which implementations there are, and one composite by itself, by
// which tests and benchmarks reach each implementation without LiteRT.

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "composite.h"
#include "export.h"
#include "implementations.h"
#include "operation.h"
#include "thread_pool.h"

namespace {

using kerasbnn::Problem;

struct Handle {
  std::unique_ptr<kerasbnn::Operation> operation;
  std::unique_ptr<kerasbnn::ThreadPool> pool;
};

void Report(const Problem& problem, char* text, size_t size) {
  if (size == 0) return;
  const size_t length = std::min(problem.size(), size - 1);
  std::memcpy(text, problem.data(), length);
  text[length] = '\0';
}

}  // namespace

// Mirrored by ctypes: an array that belongs to the caller.
struct KerasbnnTensor {
  int32_t is_float;
  int32_t rank;
  const int32_t* dims;
  const void* data;
  int64_t bytes;
};

// Names with commas between them, the fastest first.
KERASBNN_EXPORT const char* kerasbnn_implementations() {
  static const std::string names = [] {
    std::string joined;
    for (const kerasbnn::Kernels* kernels : kerasbnn::AvailableImplementations()) {
      joined += (joined.empty() ? "" : ",") + std::string(kernels->name);
    }
    return joined;
  }();
  return names.c_str();
}

// Name of the one in use; empty where one is forced that there is not.
KERASBNN_EXPORT const char* kerasbnn_implementation() {
  const kerasbnn::Kernels* kernels = kerasbnn::ChosenImplementation().kernels;
  return kernels == nullptr ? "" : kernels->name;
}

// Makes an operation; null, with the reason in `text`, where that is impossible.
KERASBNN_EXPORT Handle* kerasbnn_operation_create(const char* implementation,
                                                  const char* name,
                                                  const uint8_t* attributes,
                                                  size_t size, char* text,
                                                  size_t text_size) {
  const kerasbnn::Kernels* kernels = kerasbnn::FindImplementation(implementation);
  if (kernels == nullptr) {
    Report("there is no such implementation", text, text_size);
    return nullptr;
  }
  try {
    kerasbnn::Composite composite{};
    const Problem problem =
        kerasbnn::ParseComposite(name, attributes, size, &composite);
    if (!problem.empty()) {
      Report(problem, text, text_size);
      return nullptr;
    }
    return new Handle{std::make_unique<kerasbnn::Operation>(composite, *kernels), {}};
  } catch (const std::bad_alloc&) {
    Report("needs more memory than there is", text, text_size);
    return nullptr;
  }
}

// Gets ready for inputs. Writes the shape of the output, of up to 4 axes, and returns
// their number; 0, with the reason in `text`, where the inputs do not fit.
KERASBNN_EXPORT int kerasbnn_operation_prepare(Handle* handle,
                                               const KerasbnnTensor* tensors, int count,
                                               int32_t* output_dims, char* text,
                                               size_t text_size) {
  try {
    std::vector<kerasbnn::Tensor> inputs(count);
    for (int i = 0; i < count; ++i) {
      const KerasbnnTensor& from = tensors[i];
      inputs[i].type =
          from.is_float ? kerasbnn::Type::kFloat32 : kerasbnn::Type::kUint8;
      inputs[i].dims.assign(from.dims, from.dims + from.rank);
      inputs[i].data = from.data;
      inputs[i].bytes = from.bytes;
    }
    std::vector<int> dims;
    const Problem problem = handle->operation->Prepare(inputs, &dims);
    Report(problem, text, text_size);
    if (!problem.empty()) return 0;
    std::copy(dims.begin(), dims.end(), output_dims);
    return static_cast<int>(dims.size());
  } catch (const std::bad_alloc&) {
    Report("needs more memory than there is", text, text_size);
    return 0;
  }
}

KERASBNN_EXPORT void kerasbnn_operation_run(Handle* handle, const void* x,
                                            const float* residual, void* output) {
  handle->operation->Run(x, residual, output, handle->pool.get());
}

KERASBNN_EXPORT void kerasbnn_operation_set_threads(Handle* handle, int threads) {
  handle->pool.reset();
  if (threads > 1) handle->pool = std::make_unique<kerasbnn::ThreadPool>(threads);
}

KERASBNN_EXPORT void kerasbnn_operation_destroy(Handle* handle) { delete handle; }
