// A network that runs on images, whatever executes it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bitat_deploy {

// Is told of every function that a network calls in its runs, by name.
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void Before(const char* function) = 0;
  virtual void After(const char* function) = 0;
};

class Network {
 public:
  virtual ~Network() = default;

  // Where the next images go, as many as the network takes at once, one after the other.
  virtual std::uint8_t* input() = 0;

  // Runs the images in input(). The result lives until the next call.
  virtual void Run() = 0;

  // One row for each image.
  virtual const float* logits() const = 0;
  virtual std::int64_t classes() const = 0;

  // Tells `watcher` of every call from now on, until Unwatch.
  virtual void Watch(Watcher& watcher) = 0;
  virtual void Unwatch() = 0;
};

// Loads a network for `batch` images of `shape` (height, width, channels), to run with so many
// threads. Each program is linked with one definition of it. Throws std::exception.
std::unique_ptr<Network> LoadNetwork(const std::string& path,
                                     const std::vector<std::int64_t>& shape, int batch,
                                     int threads);

}  // namespace bitat_deploy
