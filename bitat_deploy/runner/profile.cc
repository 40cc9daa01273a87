#include "profile.h"

#include <algorithm>
#include <cstring>

#include "measure.h"

namespace bitat_deploy {

namespace {

// Functions of the virtual machine itself, which allocate and free tensors between the layers.
bool IsLayer(const char* function) { return std::strncmp(function, "vm.", 3) != 0; }

class LayerTimer {
 public:
  // Call it before each run.
  void StartRun() { next_ = 0; }

  // A bitat_watcher.
  static void Watch(void* timer, const char* function, int after) {
    static_cast<LayerTimer*>(timer)->Notice(function, after != 0);
  }

  std::vector<LayerTime> Medians() {
    std::vector<LayerTime> medians;
    for (Layer& layer : layers_) {
      const auto middle = layer.durations.begin() + layer.durations.size() / 2;
      std::nth_element(layer.durations.begin(), middle, layer.durations.end());
      medians.push_back({layer.function, *middle});
    }
    return medians;
  }

 private:
  struct Layer {
    std::string function;
    std::vector<std::int64_t> durations;
  };

  void Notice(const char* function, bool after) {
    const std::int64_t duration = Nanoseconds(start_);
    if (!IsLayer(function)) return;
    if (after) {
      layers_[next_++].durations.push_back(duration);
      return;
    }
    if (next_ == layers_.size()) layers_.push_back({function, {}});
    start_ = Nanoseconds();
  }

  std::vector<Layer> layers_;
  std::size_t next_ = 0;
  std::int64_t start_ = 0;
};

}  // namespace

std::vector<LayerTime> ProfileLayers(bitat::Network& network, const Arguments& arguments) {
  if (arguments.profile_runs == 0) return {};
  ReadFirstBatch(network, arguments);
  LayerTimer timer;
  network.Watch(&LayerTimer::Watch, &timer);
  Progress progress("layers");
  for (int run = 1; run <= arguments.profile_runs; ++run) {
    timer.StartRun();
    network.Run();
    progress.Report(run, arguments.profile_runs);
  }
  network.Watch(nullptr, nullptr);
  return timer.Medians();
}

}  // namespace bitat_deploy
