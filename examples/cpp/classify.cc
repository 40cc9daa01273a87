// A program of your own that runs a network on the device: classify IMAGES [THREADS]
//
// IMAGES holds uint8 images, one after the other, each of them row by row, as the network takes
// them. Prints a line for each: the likeliest class, then the logits of all classes.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>

#include "bitat_deploy.hpp"

namespace {

std::string FolderOf(const std::string& program) {
  const std::size_t slash = program.rfind('/');
  return slash == std::string::npos ? "." : program.substr(0, slash);
}

void Print(const float* logits, int classes) {
  std::printf("class %d:", static_cast<int>(std::max_element(logits, logits + classes) - logits));
  for (int i = 0; i < classes; ++i) {
    std::printf(" %.9g", static_cast<double>(logits[i]));  // nine digits are all that a float has
  }
  std::printf("\n");
}

int Classify(bitat::Network& network, const std::string& images) {
  std::ifstream file(images, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "error: cannot read '%s'\n", images.c_str());
    return 1;
  }
  const auto bytes = static_cast<std::streamsize>(network.image_bytes());
  const bitat_info& info = network.info();
  do {
    // A network that was built with --batch takes several images at once; the last may be fewer.
    file.read(reinterpret_cast<char*>(network.input()), bytes * info.batch);
    const std::streamsize count = file.gcount() / bytes;
    if (count > 0) network.Run();
    for (std::streamsize i = 0; i < count; ++i) {
      Print(network.logits() + i * info.classes, info.classes);
    }
  } while (file);
  if (file.gcount() % bytes != 0) {
    std::fprintf(stderr, "error: '%s' ends in the middle of an image\n", images.c_str());
    return 1;
  }
  return 0;
}

}  // namespace

int main(int count, char** values) {
  if (count != 2 && count != 3) {
    std::fprintf(stderr, "usage: %s IMAGES [THREADS]\n", values[0]);
    return 2;
  }
  try {
    bitat::Options options;
    options.threads = count == 3 ? std::atoi(values[2]) : 1;
    bitat::Network network(FolderOf(values[0]), options);
    return Classify(network, values[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
