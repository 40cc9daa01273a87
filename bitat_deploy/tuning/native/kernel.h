// One candidate, called and timed in this process.
#pragma once

#include <cstdint>

#include "batch.h"

namespace bitat_deploy {

// How to measure one: times in milliseconds, `sample_us` in microseconds.
struct Effort {
  int warmup_ms = 10;
  int measure_ms = 40;
  int sample_us = 100;
};

// Is passed through a pipe. `outcome` is 0: right, 1: wrong answer, 2: it failed, says `message`.
struct Timing {
  std::int32_t outcome;
  std::int32_t samples;
  double min_ns;  // of one call
  double median_ns;
  char message[240];
};

// Loads the candidate by way of the file `library`, compares its output with the expected one and
// times it. What it does besides is its own: call it in a process that may crash or hang.
Timing MeasureKernel(const Batch& batch, const Candidate& candidate, const std::string& library,
                     const Effort& effort);

}  // namespace bitat_deploy
