// A model's file before it is loaded.
#pragma once

#include <string>

namespace bitat_deploy {

// Throws std::runtime_error where `path` is no complete shared library for this processor. The
// dynamic loader itself may crash on one that was cut off. It does not find bytes that changed:
// the host compares the file's sha256 before each run.
void CheckModelFile(const std::string& path);

}  // namespace bitat_deploy
