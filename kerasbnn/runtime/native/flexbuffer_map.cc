#include "flexbuffer_map.h"

#include <cstring>

namespace kerasbnn {
namespace {

// Of the format's types, those that occur.
enum FlexType { kInt = 1, kUint = 2, kIndirectInt = 6, kIndirectUint = 7, kMap = 9 };
constexpr int kBool = 26;

constexpr uint64_t kMaxEntries = 256;

// Bytes of which positions are checked before they are read.
class Reader {
 public:
  Reader(const uint8_t* bytes, size_t size) : bytes_(bytes), size_(size) {}

  bool Holds(uint64_t position, uint64_t count) const {
    return position <= size_ && count <= size_ - position;
  }

  bool Unsigned(uint64_t position, int width, uint64_t* value) const {
    if (!Holds(position, width)) return false;
    *value = 0;
    std::memcpy(value, bytes_ + position, width);  // Little-endian.
    return true;
  }

  bool Signed(uint64_t position, int width, int64_t* value) const {
    uint64_t raw;
    if (!Unsigned(position, width, &raw)) return false;
    const int shift = 64 - 8 * width;
    *value = static_cast<int64_t>(raw << shift) >> shift;
    return true;
  }

  // An offset counts backwards from where it stands.
  bool Follow(uint64_t position, int width, uint64_t* target) const {
    uint64_t offset;
    if (!Unsigned(position, width, &offset) || offset > position) return false;
    *target = position - offset;
    return true;
  }

  bool Text(uint64_t position, std::string* text) const {
    if (position >= size_) return false;
    const void* end = std::memchr(bytes_ + position, 0, size_ - position);
    if (end == nullptr) return false;
    *text = reinterpret_cast<const char*>(bytes_ + position);
    return true;
  }

 private:
  const uint8_t* bytes_;
  size_t size_;
};

bool IsWidth(uint64_t width) {
  return width == 1 || width == 2 || width == 4 || width == 8;
}

bool ReadInteger(const Reader& reader, uint64_t position, int width, uint8_t packed,
                 int64_t* value) {
  const int type = packed >> 2;
  if (type == kIndirectInt || type == kIndirectUint) {
    if (!reader.Follow(position, width, &position)) return false;
    width = 1 << (packed & 3);
  }
  if (type == kInt || type == kIndirectInt) {
    return reader.Signed(position, width, value);
  }
  uint64_t raw;
  if (type != kUint && type != kIndirectUint && type != kBool) return false;
  if (!reader.Unsigned(position, width, &raw) || raw > INT64_MAX) return false;
  *value = static_cast<int64_t>(raw);
  return true;
}

}  // namespace

bool ReadFlexbufferMap(const uint8_t* bytes, size_t size,
                       std::vector<std::pair<std::string, int64_t>>* entries) {
  entries->clear();
  // At the end stand the root, its type and its width.
  if (bytes == nullptr || size < 3) return false;
  const Reader reader(bytes, size);
  const int root_width = bytes[size - 1];
  const uint8_t root_type = bytes[size - 2];
  if (!IsWidth(root_width) || root_type >> 2 != kMap) return false;
  if (size < static_cast<size_t>(root_width) + 2) return false;
  uint64_t values;
  if (!reader.Follow(size - 2 - root_width, root_width, &values)) return false;

  // Before the values stand the offset of the keys, the width of keys and the count.
  const int width = 1 << (root_type & 3);
  uint64_t count, keys, key_width;
  if (values < 3u * width || !reader.Unsigned(values - width, width, &count) ||
      !reader.Unsigned(values - 2 * width, width, &key_width) ||
      !reader.Follow(values - 3 * width, width, &keys)) {
    return false;
  }
  if (count > kMaxEntries || !IsWidth(key_width)) return false;
  const uint64_t types = values + count * width;
  if (!reader.Holds(types, count)) return false;

  for (uint64_t i = 0; i < count; ++i) {
    uint64_t key;
    std::string name;
    int64_t value;
    if (!reader.Follow(keys + i * key_width, static_cast<int>(key_width), &key) ||
        !reader.Text(key, &name) ||
        !ReadInteger(reader, values + i * width, width, bytes[types + i], &value)) {
      return false;
    }
    entries->emplace_back(std::move(name), value);
  }
  return true;
}

}  // namespace kerasbnn
