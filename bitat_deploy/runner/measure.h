// What is measured: latency over many runs, then the logits of every image.
#pragma once

#include <cstdint>
#include <vector>

#include "arguments.h"
#include "network.h"

namespace bitat_deploy {

struct Latency {
  std::int64_t first_inference_ns;
  std::vector<std::int64_t> durations_ns;
};

// Times the first image: one first run, the warm-up, then the measured runs.
Latency MeasureLatency(Network& network, const Arguments& arguments);

// Writes the logits of every image. Returns how many images there were.
std::int64_t WriteLogits(Network& network, const Arguments& arguments);

// How much memory this process had at its peak.
std::int64_t PeakMemoryBytes();

// Processor time of all threads of this process.
std::int64_t ProcessorNanoseconds();

// Nanoseconds since `start`, or since some fixed moment.
std::int64_t Nanoseconds(std::int64_t start = 0);

}  // namespace bitat_deploy
