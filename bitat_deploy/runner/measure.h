// Measures latency over many runs, then computes the logits of every image.
#pragma once

#include <cstdint>
#include <vector>

#include "arguments.h"
#include "library/bitat_deploy.hpp"

namespace bitat_deploy {

// Prints a line on standard error, at most once a second. The host shows it as a progress bar. If
// the connection is lost silently, the attempt to write makes the device's sshd notice.
class Progress {
 public:
  explicit Progress(const char* stage) : stage_(stage) {}

  void Report(std::int64_t done, std::int64_t total);

 private:
  const char* stage_;
  std::int64_t last_ = 0;
};

struct Measurement {
  std::int64_t first_inference_ns;
  std::int64_t peak_rss_bytes;  // after the warm-up, before durations_ns grows
  std::vector<std::int64_t> durations_ns;
};

// Throws FileError where the file cannot be read or does not hold a whole number of images.
void CheckImages(const Arguments& arguments);

// Fills the network's input with the first images, repeated where there are fewer than a batch.
void ReadFirstBatch(bitat::Network& network, const Arguments& arguments);

// Times the first batch: one first run, the warm-up, then the measured runs.
Measurement MeasureLatency(bitat::Network& network, const Arguments& arguments);

// Writes the logits of every image. Returns how many images there were.
std::int64_t WriteLogits(bitat::Network& network, const Arguments& arguments);

// Processor time of all threads of this process.
std::int64_t ProcessorNanoseconds();

// Nanoseconds since `start`, or since some fixed moment.
std::int64_t Nanoseconds(std::int64_t start = 0);

}  // namespace bitat_deploy
