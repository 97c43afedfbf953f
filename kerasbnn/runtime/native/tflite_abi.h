// The part of LiteRT's C interface that an external delegate uses.
//
// Written from the public layout of the structures, which is only ever appended to, so
// that neither headers nor libraries of LiteRT are needed. 64-bit hosts.

#ifndef KERASBNN_TFLITE_ABI_H_
#define KERASBNN_TFLITE_ABI_H_

#include <cstddef>
#include <cstdint>

namespace kerasbnn::tflite {

enum Status : int { kOk = 0, kError = 1 };
enum TensorType : int { kFloat32 = 1, kUint8 = 3 };
enum AllocationType : int { kMemoryMapped = 1, kPersistentReadOnly = 5 };
enum BuiltinCode : int { kDelegateNode = 51, kStablehloComposite = 206 };

// Lets nodes be claimed before their shapes are known.
constexpr int64_t kAllowDynamicTensors = 1;

struct Context;
struct Delegate;

struct IntArray {
  int size;
  int data[1];  // `size` of them.
};

struct Tensor {
  int type;
  void* data;
  IntArray* dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  Delegate* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void* params;
  } quantization;
  void* sparsity;
  const IntArray* dims_signature;
};

struct Node {
  IntArray* inputs;
  IntArray* outputs;
  IntArray* intermediates;
  IntArray* temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  Delegate* delegate;
  bool might_have_side_effect;
};

struct Registration {
  void* (*init)(Context*, const char* buffer, size_t length);
  void (*free)(Context*, void* user_data);
  Status (*prepare)(Context*, Node*);
  Status (*invoke)(Context*, Node*);
  const char* (*profiling_string)(const Context*, const Node*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
  // Passed by value: where a later LiteRT has appended fields, it reads zeros.
  void* reserved[16];
};

// `buffer` of Registration::init.
struct DelegateParameters {
  Delegate* delegate;
  IntArray* nodes_to_replace;
  IntArray* input_tensors;
  IntArray* output_tensors;
};

// `builtin_data` of a node that is a composite.
struct CompositeParameters {
  const char* name;
  int32_t subgraph_index;
  int32_t version;
  const uint8_t* attributes;
  size_t attributes_size;
};

struct Context {
  size_t tensors_size;
  Status (*GetExecutionPlan)(Context*, IntArray**);
  Tensor* tensors;
  void* implementation;
  Status (*ResizeTensor)(Context*, Tensor*, IntArray* dims);  // Takes `dims` over.
  void (*ReportError)(Context*, const char* format, ...);
  Status (*AddTensors)(Context*, int, int*);
  Status (*GetNodeAndRegistration)(Context*, int, Node**, Registration**);
  Status (*ReplaceNodeSubsetsWithDelegateKernels)(Context*, Registration,
                                                  const IntArray*, Delegate*);
  int recommended_num_threads;
  // More follows, of which nothing is used.
};

struct Delegate {
  void* data;
  Status (*Prepare)(Context*, Delegate*);
  void* copy_from_buffer_handle;
  void* copy_to_buffer_handle;
  void* free_buffer_handle;
  int64_t flags;
  void* opaque_delegate_builder;
  void* reserved[8];
};

}  // namespace kerasbnn::tflite

#endif  // KERASBNN_TFLITE_ABI_H_
