// A network that runs on images, whatever executes it: what is behind bitat_deploy.h.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "bitat_deploy.h"
#include "description.h"

namespace bitat_deploy {

// What a function of the library ends with. All other exceptions mean BITAT_BAD_NETWORK, or
// BITAT_NO_MEMORY.
class Failure : public std::runtime_error {
 public:
  Failure(bitat_status status, const std::string& text)
      : std::runtime_error(text), status_(status) {}

  bitat_status status() const { return status_; }

 private:
  bitat_status status_;
};

class Network {
 public:
  virtual ~Network() = default;

  // Where the next images go, as many as the network takes at once, one after the other.
  virtual std::uint8_t* input() = 0;

  // Runs the images in input(). The result lives until the next call.
  virtual void Run() = 0;

  // After a run, one row for each image.
  virtual const float* logits() const = 0;
  virtual int classes() const = 0;

  // Has `watcher` called around every function of a run; nullptr ends that.
  virtual void Watch(bitat_watcher watcher, void* context) = 0;
};

// Loads a network. `info` is what the options say, 0 where they say nothing, and becomes what the
// network is; `description` becomes what else is known of it. Each runtime has its own definition.
// Throws std::exception.
std::unique_ptr<Network> LoadNetwork(const std::string& path, bitat_info& info,
                                     Description& description);

// Completes `info` by what is known of the network, 0 where nothing is, leaving threads alone.
// Throws Failure where the options ask for something else.
void Settle(bitat_info& info, const bitat_info& network);

}  // namespace bitat_deploy
