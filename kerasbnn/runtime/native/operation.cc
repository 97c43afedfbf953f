#include "operation.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace kerasbnn {
namespace {

// Pixels that are worth a pass over the weights.
constexpr int64_t kPixelsAtATime = 256;

// Units of padded inputs that are prepared at a time: 16 MiB.
constexpr int64_t kUnitsAtATime = 1 << 22;

// Bytes of unpooled rows that stay in a cache.
constexpr int64_t kUnpooledBytes = 1 << 17;

// Units of one padded image; more than this is no image but a damaged file.
constexpr int64_t kMostUnits = int64_t{1} << 28;

// Words times blocks that are worth another thread, which takes some time to wake up:
// about 30 microseconds of the fastest implementation.
constexpr int64_t kWorthSharing = 1 << 16;

int64_t Product(const std::vector<int>& dims) {
  int64_t product = 1;
  for (int size : dims) product *= size;
  return product;
}

Problem CheckConstant(const Tensor& tensor, const char* name, Type type,
                      const std::vector<int>& dims) {
  const int64_t size = type == Type::kFloat32 ? 4 : 1;
  if (tensor.data == nullptr) return std::string("has no constant ") + name;
  if (tensor.type != type || tensor.dims != dims ||
      static_cast<int64_t>(tensor.bytes) != Product(dims) * size) {
    return std::string("has ") + name + " of " + Describe(tensor.type, tensor.dims) +
           " instead of " + Describe(type, dims);
  }
  return "";
}

// A value for each channel, of a tensor that has one for each or one for all.
void Expand(const Tensor& tensor, int channels, float* to) {
  const bool is_shared = tensor.dims[0] == 1;
  const uint8_t* bytes = static_cast<const uint8_t*>(tensor.data);
  for (int i = 0; i < channels; ++i) {
    float value;
    std::memcpy(&value, bytes + (is_shared ? 0 : sizeof(value) * i), sizeof(value));
    to[i] = value;
  }
}

}  // namespace

Operation::Operation(const Composite& composite, const Kernels& kernels)
    : composite_(composite), kernels_(kernels) {}

Problem Operation::Prepare(const std::vector<Tensor>& inputs,
                           std::vector<int>* output_dims) {
  Problem problem = CheckInputs(inputs);
  if (problem.empty()) problem = PlanSizes(inputs[0].dims);
  if (!problem.empty()) return problem;

  const bool is_dense = composite_.kind == Kind::kDense;
  *output_dims = {static_cast<int>(images_)};
  if (!is_dense) {
    output_dims->push_back(composite_.is_pooled() ? pool_rows_.out_size
                                                  : rows_.out_size);
    output_dims->push_back(composite_.is_pooled() ? pool_columns_.out_size
                                                  : columns_.out_size);
  }
  if (composite_.residual) {
    std::vector<int> dims = *output_dims;
    dims.push_back(composite_.out_channels);
    if (inputs[4].type != Type::kFloat32 || inputs[4].dims != dims) {
      return "has a residual of " + Describe(inputs[4].type, inputs[4].dims) +
             " instead of " + Describe(Type::kFloat32, dims);
    }
  }
  output_dims->push_back(composite_.yields_bits()
                             ? 4 * WordsFor(composite_.out_channels)
                             : composite_.out_channels);
  TakeConstants(inputs);
  problem = PlanLayer();
  if (problem.empty()) PlanPooling();
  return problem;
}

Problem Operation::CheckInputs(const std::vector<Tensor>& inputs) {
  const Composite& c = composite_;
  if (static_cast<int>(inputs.size()) != c.input_count()) {
    return "has " + std::to_string(inputs.size()) + " inputs instead of " +
           std::to_string(c.input_count());
  }
  const Tensor& x = inputs[0];
  const size_t rank = c.kind == Kind::kDense ? 2 : 4;
  const Type type = c.input == kBits ? Type::kUint8 : Type::kFloat32;
  const int last = c.input == kBits ? 4 * WordsFor(c.in_channels) : c.in_channels;
  if (x.type != type || x.dims.size() != rank || x.dims.back() != last) {
    return "has inputs of " + Describe(x.type, x.dims) + " instead of " +
           std::to_string(rank) + " axes of " +
           (type == Type::kUint8 ? "uint8" : "float32") + ", the last of size " +
           std::to_string(last);
  }
  if (has_constants_) return "";
  Problem problem =
      CheckConstant(inputs[1], "filters", Type::kUint8, c.FiltersShape());
  for (int i : {2, 3}) {
    if (!problem.empty()) break;
    const bool is_shared = inputs[i].dims == std::vector<int>{1};
    problem = CheckConstant(inputs[i], i == 2 ? "scale" : "bias", Type::kFloat32,
                            {is_shared ? 1 : c.out_channels});
  }
  return problem;
}

Problem Operation::PlanSizes(const std::vector<int>& dims) {
  const Composite& c = composite_;
  for (int size : dims) {
    if (size < 0 || size > 1 << 24) {
      return "has inputs with an axis of size " + std::to_string(size);
    }
  }
  images_ = dims[0];
  const bool is_dense = c.kind == Kind::kDense;
  rows_ = MakeWindow(is_dense ? 1 : dims[1], c.kernel_h, c.stride_h, c.dilation_h,
                     c.same);
  columns_ = MakeWindow(is_dense ? 1 : dims[2], c.kernel_w, c.stride_w, c.dilation_w,
                        c.same);
  pool_rows_ = pool_columns_ = {};
  if (c.is_pooled()) {
    pool_rows_ =
        MakeWindow(rows_.out_size, c.pool_h, c.pool_stride_h, 1, c.pool_same);
    pool_columns_ =
        MakeWindow(columns_.out_size, c.pool_w, c.pool_stride_w, 1, c.pool_same);
  }
  const bool is_empty = rows_.out_size == 0 || columns_.out_size == 0;
  if (is_empty || (c.is_pooled() && (pool_rows_.out_size == 0 ||
                                     pool_columns_.out_size == 0))) {
    return "has a window that is larger than its image of " +
           std::to_string(rows_.in_size) + " x " + std::to_string(columns_.in_size);
  }
  const int64_t units = PaddedInput::UnitsPerPixel(c);
  const int64_t padded_rows = rows_.padded_size();
  if (padded_rows > kMostUnits || columns_.padded_size() > kMostUnits / padded_rows ||
      units > kMostUnits / padded_rows / columns_.padded_size()) {
    return "has images that take more than " + std::to_string(kMostUnits) +
           " words with their padding";
  }
  return "";
}

void Operation::TakeConstants(const std::vector<Tensor>& inputs) {
  const Composite& c = composite_;
  // Bits fill words, of two blocks each.
  const int block = c.yields_bits() ? 2 * kBlock : kBlock;
  layer_.channels = c.out_channels;
  layer_.channels_padded = (c.out_channels + block - 1) / block * block;
  if (has_constants_) return;
  // Sums of taps make up for padding with zeros, of which floats need no such thing.
  const bool pads_bits_with_zeros = c.same && c.pad_value == 0 && !c.takes_floats();
  weights_.Pack(c, static_cast<const uint8_t*>(inputs[1].data),
                layer_.channels_padded / kBlock, pads_bits_with_zeros);
  scale_.Reset(layer_.channels_padded);
  bias_.Reset(layer_.channels_padded);
  Expand(inputs[2], c.out_channels, scale_.data());
  Expand(inputs[3], c.out_channels, bias_.data());
  has_constants_ = true;
}

Problem Operation::PlanLayer() {
  const Composite& c = composite_;
  const int64_t pixels = int64_t{rows_.out_size} * columns_.out_size;
  const int64_t image_units = rows_.padded_size() * columns_.padded_size() *
                              PaddedInput::UnitsPerPixel(c);
  const int64_t enough = std::min(kPixelsAtATime / pixels, kUnitsAtATime / image_units);
  images_at_a_time_ =
      static_cast<int>(std::min(images_, std::max<int64_t>(1, enough)));
  input_.Prepare(c, rows_, columns_, images_at_a_time_);

  const int units = PaddedInput::UnitsPerPixel(c);
  offset_.clear();
  for (int i = 0; i < c.kernel_h; ++i) {
    for (int j = 0; j < c.kernel_w; ++j) {
      const int64_t tap = int64_t{i} * c.dilation_h * input_.row_units() +
                          int64_t{j} * c.dilation_w * units;
      for (int k = 0; k < weights_.units_per_tap; ++k) {
        offset_.push_back(static_cast<int32_t>(tap + k));
      }
    }
  }
  layer_.weights = c.takes_floats()
                       ? static_cast<const void*>(weights_.floats.data())
                       : static_cast<const void*>(weights_.bits.data());
  layer_.has_zeros = weights_.has_zeros;
  layer_.depth = static_cast<int>(offset_.size());
  layer_.offset = offset_.data();
  layer_.block_shift = weights_.block_shift.data();
  layer_.scale = scale_.data();
  layer_.bias = bias_.data();
  layer_.out_h = rows_.out_size;
  layer_.out_w = columns_.out_size;
  layer_.image_stride = input_.image_units();
  layer_.row_stride = c.stride_h * input_.row_units();
  layer_.pixel_stride = int64_t{c.stride_w} * units;
  return border_tables_.Plan(c, weights_, rows_, columns_, &layer_);
}

void Operation::PlanPooling() {
  const Composite& c = composite_;
  if (!c.is_pooled()) return;
  const int64_t units = c.yields_bits() ? WordsFor(c.out_channels) : c.out_channels;
  const int64_t row_units = columns_.out_size * units;
  // Rows of the image that a number of pooled rows need.
  const auto needed = [&](int64_t pooled) {
    const int64_t rows = (pooled - 1) * c.pool_stride_h + c.pool_h;
    return std::min<int64_t>(rows, rows_.out_size);
  };
  int64_t at_a_time = pool_rows_.out_size;
  while (at_a_time > 1 && needed(at_a_time) * row_units * 4 > kUnpooledBytes) {
    at_a_time = (at_a_time + 1) / 2;
  }
  pooled_rows_at_a_time_ = static_cast<int>(at_a_time);
  unpooled_.Reserve(needed(at_a_time) * row_units);

  // Where a pooled dot product is multiplied by a negative scale, the outputs are the
  // least of those that are computed here before pooling.
  takes_least_bits_.assign(WordsFor(c.out_channels), 0);
  takes_least_ = std::make_unique<bool[]>(c.out_channels);
  for (int i = 0; i < c.out_channels; ++i) {
    takes_least_[i] = c.pool_first && scale_[i] < 0;
    if (takes_least_[i]) takes_least_bits_[i / 32] |= uint32_t{1} << (i % 32);
  }
}

void Operation::Run(const void* x, const float* residual, void* output,
                    ThreadPool* pool) {
  const int64_t units = composite_.input == kBits ? WordsFor(composite_.in_channels)
                                                  : composite_.in_channels;
  const int64_t image_bytes =
      int64_t{4} * rows_.in_size * columns_.in_size * units;
  for (int64_t first = 0; first < images_; first += images_at_a_time_) {
    const int count =
        static_cast<int>(std::min<int64_t>(images_at_a_time_, images_ - first));
    const uint8_t* from = static_cast<const uint8_t*>(x) + first * image_bytes;
    RunImages(input_.Of(kernels_, from, count), first, count, residual, output, pool);
  }
}

void Operation::RunImages(const void* images, int64_t first, int count,
                          const float* residual, void* output, ThreadPool* pool) {
  const Composite& c = composite_;
  const int64_t pixels = int64_t{rows_.out_size} * columns_.out_size;
  Job job{};
  job.inputs = images;
  job.last_block = layer_.channels_padded / kBlock;
  if (c.is_pooled()) {
    for (int i = 0; i < count; ++i) {
      // The first pixel of the image, as the kernels count.
      job.origin = i * pixels;
      RunPooled(job, first + i, output, pool);
    }
    return;
  }
  job.last_pixel = count * pixels;
  if (residual != nullptr) job.residual = residual + first * pixels * c.out_channels;
  if (c.yields_bits()) {
    job.bits = static_cast<uint16_t*>(output) + first * pixels * job.last_block;
  } else {
    job.floats = static_cast<float*>(output) + first * pixels * c.out_channels;
  }
  RunKernels(job, pool);
}

void Operation::RunPooled(Job job, int64_t image, void* output, ThreadPool* pool) {
  const Composite& c = composite_;
  const int64_t units = c.yields_bits() ? WordsFor(c.out_channels) : c.out_channels;
  const int64_t pooled_row_units = pool_columns_.out_size * units;
  const int64_t image_origin = job.origin;
  // Words of bits and floats are of one size.
  uint32_t* to =
      static_cast<uint32_t*>(output) + image * pool_rows_.out_size * pooled_row_units;
  if (c.yields_bits()) {
    job.bits = reinterpret_cast<uint16_t*>(unpooled_.data());
  } else {
    job.floats = reinterpret_cast<float*>(unpooled_.data());
  }
  for (int row = 0; row < pool_rows_.out_size; row += pooled_rows_at_a_time_) {
    const int end = std::min(row + pooled_rows_at_a_time_, pool_rows_.out_size);
    const int64_t top = std::max<int64_t>(pool_rows_.position(row, 0), 0);
    const int64_t bottom = std::min<int64_t>(
        pool_rows_.position(end - 1, c.pool_h - 1), rows_.out_size - 1);
    job.origin = job.first_pixel = image_origin + top * columns_.out_size;
    job.last_pixel = image_origin + (bottom + 1) * columns_.out_size;
    RunKernels(job, pool);
    const PoolingJob pooling{pool_rows_, pool_columns_, row, end, top};
    uint32_t* const first = to + row * pooled_row_units;
    if (c.yields_bits()) {
      PoolBits(pooling, static_cast<int>(units), takes_least_bits_.data(),
               unpooled_.data(), first);
    } else {
      PoolFloats(pooling, c.out_channels, takes_least_.get(), job.floats,
                 reinterpret_cast<float*>(first));
    }
  }
}

void Operation::RunKernels(const Job& job, ThreadPool* pool) {
  const auto run = composite_.takes_floats() ? kernels_.run_floats : kernels_.run_bits;
  const int64_t pixels = job.last_pixel - job.first_pixel;
  const int64_t blocks = job.last_block - job.first_block;
  if (pool == nullptr || pixels * blocks * layer_.depth < 2 * kWorthSharing) {
    run(layer_, job);
    return;
  }
  // Few pixels are shared by channels: each thread then reads a part of the weights.
  const int parts = pool->size();
  const bool by_pixels = pixels >= 4 * kBlock * parts;
  pool->Run([&](int part) {
    Job mine = job;
    if (by_pixels) {
      mine.first_pixel = job.first_pixel + pixels * part / parts;
      mine.last_pixel = job.first_pixel + pixels * (part + 1) / parts;
    } else {
      mine.first_block = static_cast<int>(job.first_block + blocks * part / parts);
      mine.last_block = static_cast<int>(job.first_block + blocks * (part + 1) / parts);
    }
    if (mine.first_block < mine.last_block) run(layer_, mine);
  });
}

}  // namespace kerasbnn
