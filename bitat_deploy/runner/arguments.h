// The runner's command line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace bitat_deploy {

// A mistake in the command line; exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A file that is missing, unreadable, of the wrong size or cannot be written; exit code 3.
struct FileError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Arguments {
  std::string model;
  std::string images;
  std::string logits;
  std::vector<int> shape;  // of one image: height, width, channels
  int warmup = 10;
  int min_runs = 50;
  int max_runs = 1000000;
  double min_seconds = 1;
  double max_seconds = 120;
  int profile_runs = 0;
  int batch = 1;
  int threads = 1;
  bool stop_at_end_of_input = false;
  bool help = false;

  // Bytes of one uint8 image.
  std::size_t ImageBytes() const;
};

extern const char* const kUsage;

// Throws UsageError.
Arguments ParseArguments(int count, char** values);

}  // namespace bitat_deploy
