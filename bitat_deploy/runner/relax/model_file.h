// A model's files before it is loaded.
#pragma once

#include <string>

#include "../library/description.h"

namespace bitat_deploy {

// The model file in `path`, where that is a bundle's folder; else `path` itself.
std::string ModelFile(const std::string& path);

// Throws std::exception where `model` cannot be read or is no complete shared library for this
// processor. The dynamic loader itself may crash on one that was cut off. Bytes that changed are
// not found: the host compares the file's sha256 before each run.
void CheckModelFile(const std::string& model);

// The text beside `model` that says what the network is: model.txt for model.so.
std::string DescriptionFile(const std::string& model);

// What that file says; nothing where there is none. Throws std::exception where it is damaged.
Description ReadDescription(const std::string& model);

}  // namespace bitat_deploy
