// The device library for C++11 and later: bitat_deploy.h with exceptions and ownership. What its
// functions do, and what threads may call, stands there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "bitat_deploy.h"

namespace bitat {

class Error : public std::runtime_error {
 public:
  explicit Error(bitat_status status)
      : std::runtime_error(bitat_error_text()), status_(status) {}

  bitat_status status() const { return status_; }

 private:
  bitat_status status_;
};

struct Options : bitat_options {
  Options() : bitat_options(BITAT_OPTIONS) {}
};

class Network {
 public:
  // Loads the bundle's folder or model file `path`. All functions throw Error.
  explicit Network(const std::string& path, const Options& options = Options()) {
    bitat_network* network = nullptr;
    Check(bitat_open(path.c_str(), &options, &network));
    network_.reset(network);
  }

  const bitat_info& info() const { return *bitat_describe(network_.get()); }

  // Bytes of one image.
  std::size_t image_bytes() const {
    return static_cast<std::size_t>(info().height) * info().width * info().channels;
  }

  std::uint8_t* input() { return bitat_input(network_.get()); }

  // Computes the logits of the images in input(); they live until the next run.
  const float* Run() {
    Check(bitat_run(network_.get()));
    return logits();
  }

  const float* logits() const { return bitat_logits(network_.get()); }

  void Watch(bitat_watcher watcher, void* context) {
    Check(bitat_watch(network_.get(), watcher, context));
  }

 private:
  struct Close {
    void operator()(bitat_network* network) const { bitat_close(network); }
  };

  static void Check(bitat_status status) {
    if (status != BITAT_OK) throw Error(status);
  }

  std::unique_ptr<bitat_network, Close> network_;
};

}  // namespace bitat
