// A network in ONNX Runtime: what takes the compiled network's place in the runner for a baseline.
//
// Takes the ONNX file's input "image", uint8 [1, channels, height, width], to its output "logits".
// All that a program would do to be fast is done: all optimizations of the graph, tensors that are
// allocated once and used in every run.
#include <memory>
#include <stdexcept>

#include "network.h"
#include "onnx_runtime.h"

namespace bitat_deploy {

namespace {

class OnnxNetwork : public Network {
 public:
  OnnxNetwork(const std::string& path, const std::vector<std::int64_t>& shape, int threads) {
    OrtEnv* environment = nullptr;
    OrtSessionOptions* options = nullptr;
    OrtMemoryInfo* memory = nullptr;
    runtime_.Call(kCreateEnv, kLogErrors, "baseline", &environment);
    runtime_.Call(kCreateSessionOptions, &options);
    runtime_.Call(kSetSessionGraphOptimizationLevel, options, kAllOptimizations);
    runtime_.Call(kSetIntraOpNumThreads, options, threads);
    runtime_.Call(kSetInterOpNumThreads, options, 1);
    runtime_.Call(kCreateSession, environment, path.c_str(), options, &session_);

    const std::vector<std::int64_t> batch = {1, shape[2], shape[0], shape[1]};
    image_.resize(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
    runtime_.Call(kCreateCpuMemoryInfo, kArenaAllocator, kDefaultMemory, &memory);
    runtime_.Call(kCreateTensorWithDataAsOrtValue, memory, image_.data(), image_.size(),
                  batch.data(), batch.size(), kUint8, &input_);
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
  std::int64_t classes() const override { return classes_; }

  void Watch(Watcher&) override {
    throw std::runtime_error("layers are not timed in ONNX Runtime");
  }
  void Unwatch() override {}

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
    classes_ = static_cast<std::int64_t>(count);
  }

  // What it hands out is needed until the process ends, and so never released.
  const OnnxRuntime runtime_;
  OrtSession* session_ = nullptr;
  std::vector<std::uint8_t> image_;
  OrtValue* input_ = nullptr;
  OrtValue* output_ = nullptr;  // made by the first run, written by every other
  const float* logits_ = nullptr;
  std::int64_t classes_ = 0;
};

}  // namespace

std::unique_ptr<Network> LoadNetwork(const std::string& path,
                                     const std::vector<std::int64_t>& shape, int batch,
                                     int threads) {
  if (batch != 1) throw std::runtime_error("the twins take one image at a time");
  return std::make_unique<OnnxNetwork>(path, shape, threads);
}

}  // namespace bitat_deploy
