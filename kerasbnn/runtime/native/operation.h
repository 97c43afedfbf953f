// One composite at work.

#ifndef KERASBNN_OPERATION_H_
#define KERASBNN_OPERATION_H_

#include <memory>
#include <vector>

#include "aligned_buffer.h"
#include "border_tables.h"
#include "composite.h"
#include "kernel.h"
#include "padded_input.h"
#include "pooling.h"
#include "problem.h"
#include "tensor.h"
#include "thread_pool.h"
#include "weights.h"
#include "window.h"

namespace kerasbnn {

// Not for several threads at once: it has memory of its own for what lies between.
class Operation {
 public:
  Operation(const Composite& composite, const Kernels& kernels);

  const Composite& composite() const { return composite_; }

  // Checks the inputs of a composite in the order of the file and gets ready for their
  // shapes. Weights, scale and bias must stay what they are at the first call; the data
  // of the others is not looked at. On success sets the shape of the output.
  Problem Prepare(const std::vector<Tensor>& inputs, std::vector<int>* output_dims);

  // Computes, with the help of `pool` if it is not null. `residual` is null where there
  // is none.
  void Run(const void* x, const float* residual, void* output, ThreadPool* pool);

 private:
  Problem CheckInputs(const std::vector<Tensor>& inputs);
  Problem PlanSizes(const std::vector<int>& dims);
  void TakeConstants(const std::vector<Tensor>& inputs);
  Problem PlanLayer();
  void PlanPooling();
  void RunImages(const void* images, int64_t first, int count, const float* residual,
                 void* output, ThreadPool* pool);
  void RunPooled(Job job, int64_t image, void* output, ThreadPool* pool);
  void RunKernels(const Job& job, ThreadPool* pool);

  const Composite composite_;
  const Kernels& kernels_;

  bool has_constants_ = false;
  PackedWeights weights_;
  AlignedBuffer<float> scale_;
  AlignedBuffer<float> bias_;

  int64_t images_ = 0;
  int images_at_a_time_ = 0;
  Window rows_{};
  Window columns_{};
  Layer layer_{};
  PaddedInput input_;
  std::vector<int32_t> offset_;
  BorderTables border_tables_;

  Window pool_rows_{};
  Window pool_columns_{};
  int pooled_rows_at_a_time_ = 0;
  std::vector<uint32_t> takes_least_bits_;
  std::unique_ptr<bool[]> takes_least_;
  AlignedBuffer<uint32_t> unpooled_;  // Words of bits, or floats.
};

}  // namespace kerasbnn

#endif  // KERASBNN_OPERATION_H_
