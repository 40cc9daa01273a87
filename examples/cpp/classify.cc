// A program of your own that runs a network on the device: classify IMAGES
//
// IMAGES holds uint8 images, one after the other, each of them row by row, as the network takes
// them. Prints a line for each: the likeliest class, then the logits of all classes.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

#include "network.h"

namespace {

// Of an image: `input_shape` in the bundle's manifest.json.
constexpr int kHeight = 28, kWidth = 28, kChannels = 1;

std::string FolderOf(const std::string& program) {
  const std::size_t slash = program.rfind('/');
  return slash == std::string::npos ? "." : program.substr(0, slash);
}

int Classify(const std::string& model, const std::string& images) {
  std::ifstream file(images, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "error: cannot read '%s'\n", images.c_str());
    return 1;
  }
  example::Network network(model, kHeight, kWidth, kChannels);
  const auto bytes = static_cast<std::streamsize>(network.input_bytes());
  while (file.read(reinterpret_cast<char*>(network.input()), bytes)) {
    const float* const logits = network.Run();
    const float* const end = logits + network.classes();
    std::printf("class %td:", std::max_element(logits, end) - logits);
    for (const float* logit = logits; logit != end; ++logit) {
      std::printf(" %.9g", static_cast<double>(*logit));  // nine digits are all that a float has
    }
    std::printf("\n");
  }
  if (file.gcount() != 0) {
    std::fprintf(stderr, "error: '%s' ends in the middle of an image\n", images.c_str());
    return 1;
  }
  return 0;
}

}  // namespace

int main(int count, char** values) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s IMAGES\n", values[0]);
    return 2;
  }
  try {
    return Classify(FolderOf(values[0]) + "/model.so", values[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
