// The implementations of the kernels, and which of them is in use.

#ifndef KERASBNN_IMPLEMENTATIONS_H_
#define KERASBNN_IMPLEMENTATIONS_H_

#include <string>
#include <vector>

#include "kernel.h"
#include "problem.h"

namespace kerasbnn {

constexpr char kForceVariable[] = "KERASBNN_FORCE_IMPLEMENTATION";

// Those that this processor can run, the fastest first.
const std::vector<const Kernels*>& AvailableImplementations();

// One of them by its name; null if it is not among them.
const Kernels* FindImplementation(const std::string& name);

// The fastest, or that which the environment variable names; chosen at the first call.
// On failure `kernels` is null.
struct Choice {
  const Kernels* kernels;
  Problem problem;
};
const Choice& ChosenImplementation();

}  // namespace kerasbnn

#endif  // KERASBNN_IMPLEMENTATIONS_H_
