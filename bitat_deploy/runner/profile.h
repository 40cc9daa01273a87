// Measures the time of each layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arguments.h"
#include "library/bitat_deploy.hpp"

namespace bitat_deploy {

struct LayerTime {
  std::string function;
  std::int64_t nanoseconds;  // median over the runs
};

// Times the layers, in the order in which they run, over `profile_runs` runs of the first image.
// Every later run of `network` is a little slower, so this comes last.
std::vector<LayerTime> ProfileLayers(bitat::Network& network, const Arguments& arguments);

}  // namespace bitat_deploy
