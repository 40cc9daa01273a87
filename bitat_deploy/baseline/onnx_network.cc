// A network in ONNX Runtime: the device library's runtime in the runner of a baseline.
//
// Computes the ONNX file's output "logits" from its input "image", uint8
// [1, channels, height, width]. It is as fast as a program with ONNX Runtime can be: all
// optimizations of the graph are on, and tensors are allocated once.
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <vector>

#include "network.h"
#include "onnx_runtime.h"

namespace bitat_deploy {

namespace {

class OnnxNetwork : public Network {
 public:
  OnnxNetwork(const std::string& path, const bitat_info& info) {
    OrtEnv* environment = nullptr;
    OrtSessionOptions* options = nullptr;
    OrtMemoryInfo* memory = nullptr;
    runtime_.Call(kCreateEnv, kLogErrors, "baseline", &environment);
    runtime_.Call(kCreateSessionOptions, &options);
    runtime_.Call(kSetSessionGraphOptimizationLevel, options, kAllOptimizations);
    runtime_.Call(kSetIntraOpNumThreads, options, info.threads);
    runtime_.Call(kSetInterOpNumThreads, options, 1);
    runtime_.Call(kCreateSession, environment, path.c_str(), options, &session_);

    const std::vector<std::int64_t> shape = {1, info.channels, info.height, info.width};
    image_.resize(static_cast<std::size_t>(info.channels) * info.height * info.width);
    runtime_.Call(kCreateCpuMemoryInfo, kArenaAllocator, kDefaultMemory, &memory);
    runtime_.Call(kCreateTensorWithDataAsOrtValue, memory, image_.data(), image_.size(),
                  shape.data(), shape.size(), kUint8, &input_);
  }

  std::uint8_t* input() override { return image_.data(); }

  void Run() override {
    const char* const input_name = "image";
    const char* const output_name = "logits";
    const bool first = output_ == nullptr;
    runtime_.Call(kRun, session_, nullptr, &input_name, &input_, 1, &output_name, 1, &output_);
    if (first) DescribeOutput();
  }

  const float* logits() const override { return logits_; }
  int classes() const override { return classes_; }

  void Watch(bitat_watcher, void*) override {
    throw std::runtime_error("layers are not timed in ONNX Runtime");
  }

 private:
  void DescribeOutput() {
    OrtTensorTypeAndShapeInfo* info = nullptr;
    std::size_t count = 0;
    int type = 0;
    void* data = nullptr;
    runtime_.Call(kGetTensorTypeAndShape, output_, &info);
    runtime_.Call(kGetTensorElementType, info, &type);
    runtime_.Call(kGetTensorShapeElementCount, info, &count);
    runtime_.Call(kGetTensorMutableData, output_, &data);
    if (type != kFloat || count == 0) throw std::runtime_error("the result is not float32");
    logits_ = static_cast<const float*>(data);
    classes_ = static_cast<int>(count);
  }

  // Nothing of it is released: it is needed until the process ends.
  const OnnxRuntime runtime_;
  OrtSession* session_ = nullptr;
  std::vector<std::uint8_t> image_;
  OrtValue* input_ = nullptr;
  OrtValue* output_ = nullptr;  // made by the first run, written by every other
  const float* logits_ = nullptr;
  int classes_ = 0;
};

}  // namespace

std::unique_ptr<Network> LoadNetwork(const std::string& path, bitat_info& info,
                                     Description&) {
  if (access(path.c_str(), R_OK) != 0) {
    throw Failure(BITAT_BAD_FILE, "cannot read the model '" + path + "'");
  }
  bitat_info own{};
  own.batch = 1;
  Settle(info, own);
  if (info.threads == 0) info.threads = 1;
  return std::make_unique<OnnxNetwork>(path, info);
}

}  // namespace bitat_deploy
