#include "profile.h"

#include <algorithm>
#include <cstring>

#include "measure.h"

namespace bitat_deploy {

namespace {

// Functions of the virtual machine itself, which allocate and free tensors between the layers.
bool IsLayer(const char* function) { return std::strncmp(function, "vm.", 3) != 0; }

class LayerTimer : public Watcher {
 public:
  // Call it before each run.
  void StartRun() { next_ = 0; }

  void Before(const char* function) override {
    if (!IsLayer(function)) return;
    if (next_ == layers_.size()) layers_.push_back({function, {}});
    start_ = Nanoseconds();
  }

  void After(const char* function) override {
    const std::int64_t duration = Nanoseconds(start_);
    if (IsLayer(function)) layers_[next_++].durations.push_back(duration);
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

  std::vector<Layer> layers_;
  std::size_t next_ = 0;
  std::int64_t start_ = 0;
};

}  // namespace

std::vector<LayerTime> ProfileLayers(Network& network, const Arguments& arguments) {
  if (arguments.profile_runs == 0) return {};
  ReadFirstBatch(network, arguments);
  LayerTimer timer;
  network.Watch(timer);
  Progress progress("layers");
  for (int run = 1; run <= arguments.profile_runs; ++run) {
    timer.StartRun();
    network.Run();
    progress.Report(run, arguments.profile_runs);
  }
  network.Unwatch();
  return timer.Medians();
}

}  // namespace bitat_deploy
