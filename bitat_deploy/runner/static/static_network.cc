// A network that is part of the program: its kernels, its constants and the memory around them.

#include <stdexcept>

#include "../network.h"
#include "plan.h"
#include "tvm_functions.h"

namespace bitat_deploy {

namespace {

class StaticNetwork : public Network {
 public:
  std::uint8_t* input() override { return static_cast<std::uint8_t*>(plan_.input->data); }
  const float* logits() const override { return static_cast<const float*>(plan_.output->data); }
  std::int64_t classes() const override { return plan_.output->shape[1]; }

  void Run() override {
    for (std::int32_t i = 0; i < plan_.count; ++i) {
      const Call& call = plan_.calls[i];
      if (watcher_ != nullptr) watcher_->Before(call.name);
      TVMFFIAny nothing = {};
      if (call.kernel(nullptr, call.arguments, call.count, &nothing) != 0) {
        throw std::runtime_error(KernelError());
      }
      if (watcher_ != nullptr) watcher_->After(call.name);
    }
  }

  void Watch(Watcher& watcher) override { watcher_ = &watcher; }
  void Unwatch() override { watcher_ = nullptr; }

 private:
  const Plan& plan_ = bitat_deploy_plan;
  Watcher* watcher_ = nullptr;
};

}  // namespace

// The kernels run in one thread and take one image at a time; `path` is this program.
std::unique_ptr<Network> LoadNetwork(const std::string&, const std::vector<std::int64_t>& shape,
                                     int batch, int threads) {
  if (batch != 1) throw std::runtime_error("the network takes one image at a time");
  if (threads != 1) throw std::runtime_error("the network runs in one thread");
  const std::int64_t* const expected = bitat_deploy_plan.input->shape + 1;
  if (shape != std::vector<std::int64_t>(expected, expected + 3)) {
    throw std::runtime_error("the network is for images of another shape");
  }
  return std::make_unique<StaticNetwork>();
}

}  // namespace bitat_deploy
