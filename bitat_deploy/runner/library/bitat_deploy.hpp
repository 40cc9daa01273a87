// The device library for C++11 and later: bitat_deploy.h with exceptions and ownership. What its
// functions do, and what threads may call, stands there.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

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

// One of the classes of an image.
struct Answer {
  int index;
  std::string name;  // "class 3" where the bundle names none
  float logit;
  double score;  // softmax of the logits: the scores of all classes add up to 1
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

  std::string name() const { return bitat_name(network_.get()); }
  std::string built_by() const { return bitat_built_by(network_.get()); }
  std::string preparation() const { return bitat_preparation(network_.get()); }

  std::string class_name(int index) const {
    const char* const name = bitat_class_name(network_.get(), index);
    return name != nullptr ? name : "class " + std::to_string(index);
  }

  std::uint8_t* input() { return bitat_input(network_.get()); }

  // Makes image number `image` of the input of a frame, as the bundle records it.
  void Put(const bitat_frame& frame, int image = 0) {
    Check(bitat_put_frame(network_.get(), image, &frame));
  }

  // The most likely classes of a frame, the likeliest first.
  std::vector<Answer> Classify(const bitat_frame& frame, int count = 5) {
    Put(frame);
    Run();
    return Best(count);
  }

  // The same of image number `image` of the last run.
  std::vector<Answer> Best(int count = 5, int image = 0) const {
    const int classes = info().classes;
    const float* const row = logits() + static_cast<std::ptrdiff_t>(image) * classes;
    std::vector<int> order(static_cast<std::size_t>(classes));
    for (int i = 0; i < classes; ++i) order[static_cast<std::size_t>(i)] = i;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return row[a] > row[b]; });
    double sum = 0;
    for (int i = 0; i < classes; ++i) sum += std::exp(double(row[i]) - row[order[0]]);
    std::vector<Answer> answers;
    for (int i = 0; i < std::min(count, classes); ++i) {
      const int index = order[static_cast<std::size_t>(i)];
      const double score = std::exp(double(row[index]) - row[order[0]]) / sum;
      answers.push_back({index, class_name(index), row[index], score});
    }
    return answers;
  }

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
