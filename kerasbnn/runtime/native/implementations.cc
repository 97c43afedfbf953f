#include "implementations.h"

#include <cstdlib>

namespace kerasbnn {
namespace {

struct Entry {
  const Kernels* kernels;
  bool (*is_supported)();
};

#ifdef KERASBNN_AVX512_VPOPCNTDQ
bool HasAvx512Vpopcntdq() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("fma");
}
#endif

// From the fastest on. A new implementation is one more line.
constexpr Entry kEntries[] = {
#ifdef KERASBNN_AVX512_VPOPCNTDQ
    {&kAvx512VpopcntdqKernels, HasAvx512Vpopcntdq},
#endif
    {&kGenericKernels, [] { return true; }},
};

Choice Choose() {
  const char* forced = std::getenv(kForceVariable);
  if (forced == nullptr || *forced == '\0') {
    return {AvailableImplementations().front(), ""};
  }
  const Kernels* found = FindImplementation(forced);
  if (found != nullptr) return {found, ""};
  std::string names;
  for (const Kernels* kernels : AvailableImplementations()) {
    names += (names.empty() ? "" : ", ") + std::string(kernels->name);
  }
  return {nullptr, std::string(kForceVariable) + "=" + forced +
                       " names an unknown implementation, or one that this "
                       "processor cannot run. Available: " +
                       names + "."};
}

}  // namespace

const std::vector<const Kernels*>& AvailableImplementations() {
  static const std::vector<const Kernels*> available = [] {
    std::vector<const Kernels*> found;
    for (const Entry& entry : kEntries) {
      if (entry.is_supported()) found.push_back(entry.kernels);
    }
    return found;
  }();
  return available;
}

const Kernels* FindImplementation(const std::string& name) {
  for (const Kernels* kernels : AvailableImplementations()) {
    if (name == kernels->name) return kernels;
  }
  return nullptr;
}

const Choice& ChosenImplementation() {
  static const Choice choice = Choose();
  return choice;
}

}  // namespace kerasbnn
