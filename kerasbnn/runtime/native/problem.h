#ifndef KERASBNN_PROBLEM_H_
#define KERASBNN_PROBLEM_H_

#include <string>

namespace kerasbnn {

// What is wrong, in words for a user; empty where nothing is.
using Problem = std::string;

}  // namespace kerasbnn

#endif  // KERASBNN_PROBLEM_H_
