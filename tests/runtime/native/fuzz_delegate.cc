// A libFuzzer target: the delegate on damaged composites, without LiteRT.
//
// The first bytes choose the tensors of a node, the rest are its attributes as a file
// would hold them. What the delegate does not refuse it computes, on tensors that end
// exactly where they say, and every implementation must compute the same.
//
// tests/runtime/native/make_corpus.py writes what to start from.

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "composite.h"
#include "implementations.h"
#include "operation.h"
#include "tflite_abi.h"

namespace tflite = kerasbnn::tflite;

extern "C" tflite::Delegate* tflite_plugin_create_delegate(const char* const*,
                                                           const char* const*, size_t,
                                                           void (*)(const char*));
extern "C" void tflite_plugin_destroy_delegate(tflite::Delegate*);

namespace {

// What is larger takes the fuzzer's time and finds nothing else.
constexpr int64_t kMostBytes = 1 << 20;
constexpr int64_t kMostProducts = 1 << 21;

class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t Byte() { return size_ == 0 ? 0 : (--size_, *data_++); }
  const uint8_t* rest() const { return data_; }
  size_t rest_size() const { return size_; }

 private:
  const uint8_t* data_;
  size_t size_;
};

struct FakeTensor {
  tflite::Tensor tensor{};
  std::vector<int> dims;  // As a tflite::IntArray: the size comes first.

  void Set(int type, const std::vector<int>& sizes, int allocation_type) {
    dims.assign(1, static_cast<int>(sizes.size()));
    dims.insert(dims.end(), sizes.begin(), sizes.end());
    tensor.dims = reinterpret_cast<tflite::IntArray*>(dims.data());
    tensor.type = type;
    tensor.allocation_type = allocation_type;
    int64_t bytes = type == tflite::kFloat32 ? 4 : 1;
    for (int size : sizes) bytes = bytes > kMostBytes ? bytes : bytes * size;
    bytes = bytes < 0 ? 0 : bytes > kMostBytes ? kMostBytes : bytes;
    tensor.bytes = static_cast<size_t>(bytes);
    std::free(tensor.data);
    tensor.data = std::malloc(tensor.bytes);
  }

  void Fill(uint32_t seed) {
    auto* bytes = static_cast<uint8_t*>(tensor.data);
    for (size_t i = 0; i < tensor.bytes; ++i) {
      seed = seed * 1664525 + 1013904223;
      bytes[i] = static_cast<uint8_t>(seed >> 24);
    }
    if (tensor.type != tflite::kFloat32) return;
    for (size_t i = 0; i + 4 <= tensor.bytes; i += 4) {
      const float value = static_cast<float>(bytes[i] - 128) / 16;
      std::memcpy(bytes + i, &value, 4);
    }
  }
};

// A context of LiteRT with one node.
struct Fake {
  tflite::Context context{};
  std::vector<FakeTensor> tensors;
  std::vector<tflite::Tensor> views;
  std::vector<int> plan = {1, 0}, inputs, outputs;
  tflite::Node node{};
  tflite::Registration registration{};
  tflite::CompositeParameters parameters{};
  tflite::Registration claimed{};
  int claims = 0;

  ~Fake() {
    for (FakeTensor& tensor : tensors) std::free(tensor.tensor.data);
  }

  void Refresh() {
    for (size_t i = 0; i < tensors.size(); ++i) views[i] = tensors[i].tensor;
  }
};

Fake* current;

tflite::Status GetExecutionPlan(tflite::Context*, tflite::IntArray** plan) {
  *plan = reinterpret_cast<tflite::IntArray*>(current->plan.data());
  return tflite::kOk;
}

tflite::Status GetNode(tflite::Context*, int, tflite::Node** node,
                       tflite::Registration** registration) {
  *node = &current->node;
  *registration = &current->registration;
  return tflite::kOk;
}

tflite::Status Replace(tflite::Context*, tflite::Registration registration,
                       const tflite::IntArray*, tflite::Delegate*) {
  current->claimed = registration;
  ++current->claims;
  return tflite::kOk;
}

tflite::Status ResizeTensor(tflite::Context*, tflite::Tensor* tensor,
                            tflite::IntArray* dims) {
  const std::vector<int> sizes(dims->data, dims->data + dims->size);
  std::free(dims);
  FakeTensor& output = current->tensors.back();
  output.Set(tensor->type, sizes, 0);
  current->Refresh();
  return tflite::kOk;
}

void ReportError(tflite::Context*, const char* format, ...) {
  char text[2000];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
}

int64_t Elements(const tflite::Tensor& tensor) {
  int64_t elements = 1;
  for (int i = 0; i < tensor.dims->size; ++i) {
    const int size = tensor.dims->data[i];
    if (size < 0 || elements > kMostBytes) return -1;
    elements *= size;
  }
  return elements;
}

void Compare(const kerasbnn::Composite& composite) {
  const Fake& fake = *current;
  std::vector<kerasbnn::Tensor> inputs;
  for (int i : fake.inputs) {
    const tflite::Tensor& from = fake.views[i];
    kerasbnn::Tensor tensor;
    tensor.type = from.type == tflite::kFloat32 ? kerasbnn::Type::kFloat32
                                                : kerasbnn::Type::kUint8;
    tensor.dims.assign(from.dims->data, from.dims->data + from.dims->size);
    tensor.data = from.data;
    tensor.bytes = from.bytes;
    inputs.push_back(tensor);
  }
  const tflite::Tensor& output = fake.views.back();
  for (const kerasbnn::Kernels* kernels : kerasbnn::AvailableImplementations()) {
    kerasbnn::Operation operation(composite, *kernels);
    std::vector<int> dims;
    if (!operation.Prepare(inputs, &dims).empty()) std::abort();
    std::vector<uint8_t> found(output.bytes);
    operation.Run(inputs[0].data,
                  composite.residual ? static_cast<const float*>(inputs[4].data)
                                     : nullptr,
                  found.data(), nullptr);
    if (composite.yields_bits()) {
      if (!std::equal(found.begin(), found.end(),
                      static_cast<const uint8_t*>(output.data))) {
        std::abort();
      }
      continue;
    }
    for (size_t i = 0; i < output.bytes; i += 4) {
      float mine, other;
      std::memcpy(&mine, found.data() + i, 4);
      std::memcpy(&other, static_cast<const uint8_t*>(output.data) + i, 4);
      if (!(mine == other) && !(std::isnan(mine) && std::isnan(other))) std::abort();
    }
  }
}

constexpr const char* kNames[] = {"kerasbnn.dense", "kerasbnn.conv2d",
                                  "kerasbnn.depthwise_conv2d", "other"};

// Tensors that fit the composite, of sizes that the bytes choose; or any.
void ChooseTensors(Choices* choices, const kerasbnn::Composite* composite) {
  Fake& fake = *current;
  const uint8_t flags = choices->Byte();
  const int count = composite == nullptr || flags & 1 ? flags >> 1 & 7
                                                      : composite->input_count();
  for (int i = 0; i < count + 1; ++i) {
    const uint8_t any = choices->Byte();
    const bool is_float = any & 1;
    std::vector<int> dims;
    int type = is_float ? tflite::kFloat32 : any & 2 ? 7 : tflite::kUint8;
    if (composite != nullptr && any < 240) {
      const bool is_dense = composite->kind == kerasbnn::Kind::kDense;
      const bool reads_bits = composite->input == kerasbnn::kBits;
      type = i == 1 ? tflite::kUint8 : tflite::kFloat32;
      if (i == 0) {
        if (reads_bits) type = tflite::kUint8;
        dims = {any & 3};
        if (!is_dense) dims.insert(dims.end(), {any >> 2 & 15, 1 + (any >> 4 & 15)});
        dims.push_back(reads_bits ? 4 * kerasbnn::WordsFor(composite->in_channels)
                                  : composite->in_channels);
      } else if (i == 1) {
        dims = composite->FiltersShape();
      } else if (i < 4) {
        dims = {any & 4 ? 1 : composite->out_channels};
      } else if (i == count && composite->yields_bits()) {
        type = tflite::kUint8;
      } else if (i < count) {
        const std::vector<int>& x = fake.tensors[0].dims;
        dims.assign(x.begin() + 1, x.end());
        dims.back() = composite->out_channels;
      }
    } else {
      for (int axis = any >> 3 & 7; axis > 0; --axis) {
        const int size = choices->Byte();
        dims.push_back(size > 250 ? size << 22 : size);
      }
    }
    FakeTensor tensor;
    const bool is_constant = i >= 1 && i <= 3 && any != 7;
    tensor.Set(type, dims, is_constant ? tflite::kMemoryMapped : 0);
    tensor.Fill(any * 31u + i);
    if (any == 8 && tensor.tensor.bytes > 0) --tensor.tensor.bytes;
    fake.tensors.push_back(std::move(tensor));
    i < count ? fake.inputs.push_back(i) : fake.outputs.push_back(i);
  }
  if (flags == 255 && count > 0) fake.inputs[count - 1] = -1;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Choices choices(data, size);
  Fake fake;
  current = &fake;
  const char* name = kNames[choices.Byte() & 3];
  const uint8_t described = choices.Byte();  // Bytes that choose tensors.
  std::vector<uint8_t> chosen;
  for (int i = 0; i < (described & 31); ++i) chosen.push_back(choices.Byte());
  // A copy of its own, so that reading past the end is seen.
  const std::vector<uint8_t> attributes(choices.rest(),
                                        choices.rest() + choices.rest_size());

  kerasbnn::Composite composite{};
  const bool is_valid = kerasbnn::ParseComposite(name, attributes.data(),
                                                 attributes.size(), &composite)
                            .empty();
  if (is_valid) {
    int64_t bytes = 1;
    for (int dim : composite.FiltersShape()) bytes *= bytes > kMostBytes ? 1 : dim;
    if (bytes > kMostBytes || composite.in_channels > kMostBytes / 64 ||
        composite.out_channels > kMostBytes / 64) {
      return 0;
    }
  }
  Choices shape(chosen.data(), chosen.size());
  ChooseTensors(&shape, is_valid ? &composite : nullptr);

  // LiteRT's arrays: the size, then the elements.
  std::vector<int> inputs = {static_cast<int>(fake.inputs.size())};
  inputs.insert(inputs.end(), fake.inputs.begin(), fake.inputs.end());
  std::vector<int> outputs = {static_cast<int>(fake.outputs.size())};
  outputs.insert(outputs.end(), fake.outputs.begin(), fake.outputs.end());
  fake.views.resize(fake.tensors.size());
  fake.Refresh();
  fake.node.inputs = reinterpret_cast<tflite::IntArray*>(inputs.data());
  fake.node.outputs = reinterpret_cast<tflite::IntArray*>(outputs.data());
  fake.parameters = {name, 1, 1, attributes.data(), attributes.size()};
  fake.node.builtin_data = &fake.parameters;
  fake.registration.builtin_code = tflite::kStablehloComposite;
  fake.context.tensors_size = fake.views.size();
  fake.context.tensors = fake.views.data();
  fake.context.GetExecutionPlan = GetExecutionPlan;
  fake.context.GetNodeAndRegistration = GetNode;
  fake.context.ReplaceNodeSubsetsWithDelegateKernels = Replace;
  fake.context.ResizeTensor = ResizeTensor;
  fake.context.ReportError = ReportError;
  fake.context.recommended_num_threads = 1 + (described >> 6);

  tflite::Delegate* delegate =
      tflite_plugin_create_delegate(nullptr, nullptr, 0, nullptr);
  if (delegate->Prepare(&fake.context, delegate) != tflite::kOk) std::abort();
  if (fake.claims == 1) {
    tflite::DelegateParameters parameters{};
    int one[] = {1, 0};
    parameters.delegate = delegate;
    parameters.nodes_to_replace = reinterpret_cast<tflite::IntArray*>(one);
    fake.node.user_data =
        fake.claimed.init(&fake.context, reinterpret_cast<char*>(&parameters), 0);
    // LiteRT gives the claimed node no output where nothing reads it.
    int none[] = {0, 0};
    const bool is_unread = described & 32;
    if (is_unread) fake.node.outputs = reinterpret_cast<tflite::IntArray*>(none);
    if (fake.claimed.prepare(&fake.context, &fake.node) != tflite::kOk) {
    } else if (is_unread) {
      fake.claimed.invoke(&fake.context, &fake.node);
    } else {
      // Another node may have written what this one reads, in another size.
      if (chosen.size() > 10 && chosen[10] == 1) --fake.views[0].bytes;
      const tflite::Tensor& output = fake.views.back();
      const int64_t width = output.type == tflite::kFloat32 ? 4 : 1;
      const int64_t elements = Elements(output);
      if (elements >= 0 && elements * width <= kMostBytes &&
          elements * composite.fan_in() <= kMostProducts) {
        if (fake.claimed.invoke(&fake.context, &fake.node) == tflite::kOk) {
          Compare(composite);
        }
      }
    }
    fake.claimed.free(&fake.context, fake.node.user_data);
  }
  tflite_plugin_destroy_delegate(delegate);
  return 0;
}
