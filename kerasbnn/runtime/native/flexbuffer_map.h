#ifndef KERASBNN_FLEXBUFFER_MAP_H_
#define KERASBNN_FLEXBUFFER_MAP_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace kerasbnn {

// Reads the FlexBuffer of a map from strings to integers.
//
// Bytes may be anything: nothing outside of them is read.
//
// Returns false where they hold something else.
bool ReadFlexbufferMap(const uint8_t* bytes, size_t size,
                       std::vector<std::pair<std::string, int64_t>>* entries);

}  // namespace kerasbnn

#endif  // KERASBNN_FLEXBUFFER_MAP_H_
