// A network that is part of the program: its kernels, its constants and the memory around them.

#include <algorithm>
#include <atomic>

#include "../library/network.h"
#include "../library/workers.h"
#include "plan.h"
#include "tvm_functions.h"

namespace bitat_deploy {

namespace {

std::atomic<bool> is_open{false};  // there is one memory for its tensors

class StaticNetwork : public Network {
 public:
  explicit StaticNetwork(int threads) : workers_(threads) {}
  ~StaticNetwork() override { is_open = false; }

  std::uint8_t* input() override { return static_cast<std::uint8_t*>(plan_.input->data); }
  const float* logits() const override { return static_cast<const float*>(plan_.output->data); }
  int classes() const override { return static_cast<int>(plan_.output->shape[1]); }

  void Run() override {
    const Workers::Region region(workers_);
    for (std::int32_t i = 0; i < plan_.count; ++i) {
      const Call& call = plan_.calls[i];
      if (watcher_ != nullptr) watcher_(context_, call.name, 0);
      TVMFFIAny nothing = {};
      if (call.kernel(nullptr, call.arguments, call.count, &nothing) != 0) {
        throw std::runtime_error(KernelError());
      }
      if (watcher_ != nullptr) watcher_(context_, call.name, 1);
    }
  }

  void Watch(bitat_watcher watcher, void* context) override {
    watcher_ = watcher;
    context_ = context;
  }

 private:
  const Plan& plan_ = bitat_deploy_plan;
  bitat_watcher watcher_ = nullptr;
  void* context_ = nullptr;
  Workers workers_;
};

}  // namespace

// The kernels take one image at a time; the path is of no use.
std::unique_ptr<Network> LoadNetwork(const std::string&, bitat_info& info,
                                     Description& description) {
  const std::int64_t* const shape = bitat_deploy_plan.input->shape;
  const std::int64_t classes = bitat_deploy_plan.output->shape[1];
  const auto whole = [](std::int64_t value) { return static_cast<int>(value); };
  Settle(info, {1, 1, whole(shape[1]), whole(shape[2]), whole(shape[3]), whole(classes)});
  info.threads = std::clamp(info.threads, 1, Workers::kMost);
  description = ParseDescription(bitat_deploy_plan.description, "the network's description");
  if (is_open.exchange(true)) {
    throw Failure(BITAT_BAD_ARGUMENT, "the network of this program is open already; close it first");
  }
  return std::make_unique<StaticNetwork>(info.threads);
}

}  // namespace bitat_deploy
