// LiteRT's external delegate: computes the composites of a file, and those only.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "composite.h"
#include "export.h"
#include "implementations.h"
#include "operation.h"
#include "tensor.h"
#include "tflite_abi.h"
#include "thread_pool.h"

namespace kerasbnn {
namespace {

// The threads of each interpreter: its nodes run one after another and share them.
class Pools {
 public:
  // The pool of an interpreter's subgraph; null for one thread.
  std::shared_ptr<ThreadPool> Get(const void* owner, int threads) {
    threads = std::min(threads, kMostThreads);
    if (threads < 2) return nullptr;
    const std::lock_guard<std::mutex> lock(mutex_);
    std::weak_ptr<ThreadPool>& kept = pools_[owner];
    std::shared_ptr<ThreadPool> pool = kept.lock();
    if (pool == nullptr || pool->size() != threads) {
      pool = std::make_shared<ThreadPool>(threads);
      kept = pool;
    }
    return pool;
  }

 private:
  static constexpr int kMostThreads = 256;

  std::mutex mutex_;
  std::map<const void*, std::weak_ptr<ThreadPool>> pools_;
};

// What LiteRT keeps for a node.
struct NodeState {
  Problem problem;  // Of what could be told before the shapes were known.
  std::unique_ptr<Operation> operation;
  std::vector<int> inputs;
  int output = -1;
  std::vector<std::pair<int, size_t>> prepared_for;  // Tensors and their bytes.
  Pools* pools = nullptr;  // The delegate's, which outlives its nodes.
  std::shared_ptr<ThreadPool> pool;
};

tflite::Status Fail(tflite::Context* context, const Problem& problem) {
  context->ReportError(context, "kerasbnn: a layer %s.", problem.c_str());
  return tflite::kError;
}

// Runs what may throw, for want of memory: nothing must be thrown through LiteRT.
template <class F>
tflite::Status Guarded(tflite::Context* context, F run) {
  try {
    return run();
  } catch (const std::bad_alloc&) {
    return Fail(context, "needs more memory than there is");
  }
}

Tensor View(const tflite::Tensor& tensor) {
  Tensor view;
  view.type = tensor.type == tflite::kFloat32 ? Type::kFloat32
              : tensor.type == tflite::kUint8 ? Type::kUint8
                                              : Type::kOther;
  view.bytes = tensor.bytes;
  if (tensor.dims != nullptr) {
    view.dims.assign(tensor.dims->data, tensor.dims->data + tensor.dims->size);
  }
  const bool is_constant = tensor.allocation_type == tflite::kMemoryMapped ||
                           tensor.allocation_type == tflite::kPersistentReadOnly;
  view.data = is_constant ? tensor.data : nullptr;
  return view;
}

// The memory that a tensor of this shape takes.
size_t BytesOf(const Tensor& tensor) {
  size_t bytes = tensor.type == Type::kFloat32 ? sizeof(float) : 1;
  for (int size : tensor.dims) bytes *= static_cast<size_t>(size);
  return bytes;
}

// Reads what a node is to compute; fails only by what it leaves in `problem`.
void Describe(tflite::Context* context, const tflite::DelegateParameters* parameters,
              NodeState* state) {
  const tflite::IntArray* nodes = parameters->nodes_to_replace;
  tflite::Node* node = nullptr;
  tflite::Registration* registration = nullptr;
  if (nodes == nullptr || nodes->size != 1 ||
      context->GetNodeAndRegistration(context, nodes->data[0], &node, &registration) !=
          tflite::kOk ||
      registration->builtin_code != tflite::kStablehloComposite ||
      node->builtin_data == nullptr || node->inputs == nullptr ||
      node->outputs == nullptr) {
    state->problem = "cannot be read";
    return;
  }
  const auto* stored =
      static_cast<const tflite::CompositeParameters*>(node->builtin_data);
  Composite composite{};
  state->problem = ParseComposite(stored->name, stored->attributes,
                                  stored->attributes_size, &composite);
  if (!state->problem.empty()) return;
  state->inputs.assign(node->inputs->data, node->inputs->data + node->inputs->size);
  std::vector<int> tensors = state->inputs;
  if (node->outputs->size == 1) state->output = node->outputs->data[0];
  tensors.push_back(state->output);
  for (int tensor : tensors) {
    if (tensor < 0 || static_cast<size_t>(tensor) >= context->tensors_size) {
      state->problem = "has an input or output that is missing";
      return;
    }
  }
  state->pools = static_cast<Pools*>(parameters->delegate->data);
  state->operation =
      std::make_unique<Operation>(composite, *ChosenImplementation().kernels);
}

void* Init(tflite::Context* context, const char* buffer, size_t) {
  NodeState* state = nullptr;
  Guarded(context, [&] {
    state = new NodeState;
    Describe(context, reinterpret_cast<const tflite::DelegateParameters*>(buffer),
             state);
    return tflite::kOk;
  });
  return state;
}

void Free(tflite::Context*, void* state) { delete static_cast<NodeState*>(state); }

tflite::Status Resize(tflite::Context* context, tflite::Tensor* tensor,
                      const std::vector<int>& dims) {
  // LiteRT frees it.
  auto* array = static_cast<tflite::IntArray*>(
      std::malloc(sizeof(tflite::IntArray) + dims.size() * sizeof(int)));
  if (array == nullptr) throw std::bad_alloc();
  array->size = static_cast<int>(dims.size());
  std::memcpy(array->data, dims.data(), dims.size() * sizeof(int));
  return context->ResizeTensor(context, tensor, array);
}

// Whether nothing reads the output, to which LiteRT then gives no memory.
bool IsUnread(const tflite::Node* node) { return node->outputs->size == 0; }

tflite::Status Prepare(tflite::Context* context, tflite::Node* node) {
  auto* state = static_cast<NodeState*>(node->user_data);
  if (state == nullptr) return Fail(context, "could not be taken over");
  return Guarded(context, [&] {
    if (!state->problem.empty()) return Fail(context, state->problem);
    if (IsUnread(node)) return tflite::kOk;
    std::vector<Tensor> inputs;
    for (int tensor : state->inputs) inputs.push_back(View(context->tensors[tensor]));
    const Composite& composite = state->operation->composite();
    tflite::Tensor* output = &context->tensors[state->output];
    const int type = composite.yields_bits() ? tflite::kUint8 : tflite::kFloat32;
    if (output->type != type) return Fail(context, "has an output of another type");
    std::vector<int> dims;
    const Problem problem = state->operation->Prepare(inputs, &dims);
    if (!problem.empty()) return Fail(context, problem);
    state->pool = state->pools->Get(context, context->recommended_num_threads);
    const tflite::Status status = Resize(context, output, dims);
    state->prepared_for = {{state->inputs[0], BytesOf(inputs[0])},
                           {state->output, BytesOf(View(*output))}};
    if (composite.residual) {
      state->prepared_for.emplace_back(state->inputs[4], BytesOf(inputs[4]));
    }
    return status;
  });
}

tflite::Status Invoke(tflite::Context* context, tflite::Node* node) {
  auto* state = static_cast<NodeState*>(node->user_data);
  if (IsUnread(node)) return tflite::kOk;
  const tflite::Tensor* tensors = context->tensors;
  // In a damaged file, a tensor may be smaller than its shape says, and another node may
  // write the same tensor in another size.
  for (const auto& [tensor, bytes] : state->prepared_for) {
    if (tensors[tensor].bytes != bytes || (bytes > 0 && tensors[tensor].data == nullptr)) {
      return Fail(context, "has an input or output of another size than its shape");
    }
  }
  const bool has_residual = state->operation->composite().residual;
  return Guarded(context, [&] {
    state->operation->Run(
        tensors[state->inputs[0]].data,
        has_residual ? static_cast<const float*>(tensors[state->inputs[4]].data)
                     : nullptr,
        tensors[state->output].data, state->pool.get());
    return tflite::kOk;
  });
}

// Claims each composite by itself, so that what lies between stays LiteRT's.
tflite::Status ClaimNodes(tflite::Context* context, tflite::Delegate* delegate) {
  return Guarded(context, [&] {
    tflite::IntArray* plan = nullptr;
    if (context->GetExecutionPlan(context, &plan) != tflite::kOk) {
      return tflite::kError;
    }
    // The plan changes with every claim.
    const std::vector<int> nodes(plan->data, plan->data + plan->size);
    tflite::Registration registration{};
    registration.init = Init;
    registration.free = Free;
    registration.prepare = Prepare;
    registration.invoke = Invoke;
    registration.builtin_code = tflite::kDelegateNode;
    registration.custom_name = "kerasbnn";
    registration.version = 1;
    for (const int index : nodes) {
      tflite::Node* node = nullptr;
      tflite::Registration* found = nullptr;
      if (context->GetNodeAndRegistration(context, index, &node, &found) !=
          tflite::kOk) {
        return tflite::kError;
      }
      if (found->builtin_code != tflite::kStablehloComposite ||
          node->builtin_data == nullptr) {
        continue;
      }
      const auto* stored =
          static_cast<const tflite::CompositeParameters*>(node->builtin_data);
      if (!IsOurs(stored->name, stored->version, stored->attributes,
                  stored->attributes_size)) {
        continue;
      }
      const tflite::IntArray one = {1, {index}};
      const tflite::Status status = context->ReplaceNodeSubsetsWithDelegateKernels(
          context, registration, &one, delegate);
      if (status != tflite::kOk) return status;
    }
    return tflite::kOk;
  });
}

}  // namespace
}  // namespace kerasbnn

KERASBNN_EXPORT kerasbnn::tflite::Delegate* tflite_plugin_create_delegate(
    const char* const*, const char* const*, size_t, void (*report)(const char*)) {
  using kerasbnn::ChosenImplementation;
  if (ChosenImplementation().kernels == nullptr) {
    if (report != nullptr) report(ChosenImplementation().problem.c_str());
    return nullptr;
  }
  auto* delegate = new (std::nothrow) kerasbnn::tflite::Delegate{};
  auto* pools = new (std::nothrow) kerasbnn::Pools;
  if (delegate == nullptr || pools == nullptr) {
    delete delegate;
    delete pools;
    return nullptr;
  }
  delegate->data = pools;
  delegate->Prepare = kerasbnn::ClaimNodes;
  delegate->flags = kerasbnn::tflite::kAllowDynamicTensors;
  return delegate;
}

KERASBNN_EXPORT void tflite_plugin_destroy_delegate(
    kerasbnn::tflite::Delegate* delegate) {
  if (delegate != nullptr) delete static_cast<kerasbnn::Pools*>(delegate->data);
  delete delegate;
}
