// The functions that TVM's kernels need in a program without TVM's runtime.
#pragma once

#include <string>

namespace bitat_deploy {

// Error message of the last kernel that failed.
const std::string& KernelError();

}  // namespace bitat_deploy
