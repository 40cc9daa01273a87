// What TVM's kernels expect of the program that calls them, without TVM's runtime.
#pragma once

#include <string>

namespace bitat_deploy {

// What the last kernel that failed said.
const std::string& KernelError();

}  // namespace bitat_deploy
