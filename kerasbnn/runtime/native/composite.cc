#include "composite.h"

#include <cstring>
#include <string>
#include <utility>

#include "flexbuffer_map.h"

namespace kerasbnn {
namespace {

// With sizes up to here, products of two and sums fit into 64 bits.
constexpr int kMaxSize = 1 << 24;

struct Attribute {
  const char* name;
  int Composite::* member;
  int least;
  int most;
};

constexpr Attribute kAttributes[] = {
    {"in_channels", &Composite::in_channels, 1, kMaxSize},
    {"out_channels", &Composite::out_channels, 1, kMaxSize},
    {"kernel_h", &Composite::kernel_h, 1, 1 << 12},
    {"kernel_w", &Composite::kernel_w, 1, 1 << 12},
    {"stride_h", &Composite::stride_h, 1, kMaxSize},
    {"stride_w", &Composite::stride_w, 1, kMaxSize},
    {"dilation_h", &Composite::dilation_h, 1, kMaxSize},
    {"dilation_w", &Composite::dilation_w, 1, kMaxSize},
    {"same", &Composite::same, 0, 1},
    {"pad_value", &Composite::pad_value, -1, 1},
    {"groups", &Composite::groups, 1, kMaxSize},
    {"weight_bits", &Composite::weight_bits, 1, 2},
    {"input", &Composite::input, kBits, kFloats},
    {"output", &Composite::output, kBits, kFloats},
    {"pool_h", &Composite::pool_h, 0, kMaxSize},
    {"pool_w", &Composite::pool_w, 0, kMaxSize},
    {"pool_stride_h", &Composite::pool_stride_h, 1, kMaxSize},
    {"pool_stride_w", &Composite::pool_stride_w, 1, kMaxSize},
    {"pool_same", &Composite::pool_same, 0, 1},
    {"pool_first", &Composite::pool_first, 0, 1},
    {"residual", &Composite::residual, 0, 1},
};

constexpr std::pair<const char*, Kind> kNames[] = {
    {"kerasbnn.dense", Kind::kDense},
    {"kerasbnn.conv2d", Kind::kConv2d},
    {"kerasbnn.depthwise_conv2d", Kind::kDepthwiseConv2d},
};

using Entries = std::vector<std::pair<std::string, int64_t>>;

bool FindKind(const char* name, Kind* kind) {
  for (const auto& [known, value] : kNames) {
    if (name != nullptr && std::strcmp(name, known) == 0) {
      *kind = value;
      return true;
    }
  }
  return false;
}

const int64_t* Find(const Entries& entries, const char* name) {
  for (const auto& [key, value] : entries) {
    if (key == name) return &value;
  }
  return nullptr;
}

Problem ReadAttributes(const Entries& entries, Composite* composite) {
  for (const Attribute& attribute : kAttributes) {
    const int64_t* value = Find(entries, attribute.name);
    if (value == nullptr) return std::string("lacks attribute ") + attribute.name;
    if (*value < attribute.least || *value > attribute.most) {
      return std::string("has ") + attribute.name + " = " + std::to_string(*value) +
             ", which must be from " + std::to_string(attribute.least) + " to " +
             std::to_string(attribute.most);
    }
    composite->*attribute.member = static_cast<int>(*value);
  }
  // All of them and the version are there, so that anything more is too much.
  if (entries.size() != std::size(kAttributes) + 1) {
    return "has " + std::to_string(entries.size()) + " attributes instead of " +
           std::to_string(std::size(kAttributes) + 1);
  }
  return "";
}

bool HasWindow(const Composite& c) {
  return c.taps() != 1 || c.stride_h != 1 || c.stride_w != 1 || c.dilation_h != 1 ||
         c.dilation_w != 1 || c.same || c.groups != 1 || c.is_pooled();
}

Problem CheckTogether(const Composite& c) {
  if (c.output == kSignsOfFloats) return "has output = 1, which must be 0 or 2";
  if ((c.pool_h == 0) != (c.pool_w == 0)) return "pools along one axis only";
  if (c.is_pooled() && c.residual) return "has both pooling and a residual";
  if (c.in_channels % c.groups != 0 || c.out_channels % c.groups != 0) {
    return "has channels that its groups do not divide";
  }
  if (c.kind == Kind::kDense && HasWindow(c)) return "is dense but has a window";
  if (c.is_depthwise() && (c.groups != 1 || c.out_channels % c.in_channels != 0)) {
    return "is depthwise but its output channels are no multiple of its input channels";
  }
  // Up to here, float32 holds every sum.
  if (c.fan_in() > 1 << 24) return "sums up more than 2^24 products";
  return "";
}

}  // namespace

std::vector<int> Composite::FiltersShape() const {
  const int word = 4 * weight_bits;
  switch (kind) {
    case Kind::kDense:
      return {out_channels, word * WordsFor(in_channels)};
    case Kind::kDepthwiseConv2d:
      return {kernel_h, kernel_w, word * WordsFor(out_channels)};
    default:
      return {out_channels, kernel_h, kernel_w, word * WordsFor(group_in_channels())};
  }
}

bool IsOurs(const char* name, int version, const uint8_t* attributes, size_t size) {
  Kind kind;
  if (!FindKind(name, &kind) || version != kFormatVersion) return false;
  Entries entries;
  // What cannot be read is claimed, so that the damage is reported.
  if (!ReadFlexbufferMap(attributes, size, &entries)) return true;
  const int64_t* stated = Find(entries, "version");
  return stated == nullptr || *stated == kFormatVersion;
}

Problem ParseComposite(const char* name, const uint8_t* attributes, size_t size,
                       Composite* composite) {
  if (!FindKind(name, &composite->kind)) {
    return std::string("there is no composite ") + (name == nullptr ? "?" : name);
  }
  Entries entries;
  Problem problem;
  if (!ReadFlexbufferMap(attributes, size, &entries)) {
    problem = "has attributes that are no map of integers";
  } else if (const int64_t* version = Find(entries, "version");
             version == nullptr || *version != kFormatVersion) {
    problem = "is not of version " + std::to_string(kFormatVersion);
  } else {
    problem = ReadAttributes(entries, composite);
    if (problem.empty()) problem = CheckTogether(*composite);
  }
  return problem.empty() ? "" : std::string(name) + " " + problem;
}

}  // namespace kerasbnn
