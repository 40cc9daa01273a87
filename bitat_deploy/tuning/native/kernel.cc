#include "kernel.h"

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>

namespace bitat_deploy {

namespace {

namespace ffi = tvm::ffi;

constexpr std::size_t kAlignment = 64;  // what TVM's kernels take for granted
constexpr int kGarbage = 0xA5;          // what an output holds before the first call
constexpr std::size_t kFewestSamples = 5;

std::int64_t Nanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// A tensor with memory of its own.
class OwnTensor {
 public:
  explicit OwnTensor(const Tensor& source) : shape_(source.shape), strides_(source.shape.size(), 1) {
    const std::size_t rounded = (source.bytes + kAlignment - 1) / kAlignment * kAlignment;
    memory_.reset(std::aligned_alloc(kAlignment, std::max(rounded, kAlignment)));
    if (memory_ == nullptr) throw std::bad_alloc();
    std::memcpy(memory_.get(), source.data, source.bytes);
    for (std::size_t i = shape_.size(); i-- > 1;) strides_[i - 1] = strides_[i] * shape_[i];
    view_.data = memory_.get();
    view_.device = {kDLCPU, 0};
    view_.dtype = source.type;
    view_.ndim = static_cast<std::int32_t>(shape_.size());
    view_.shape = shape_.data();
    view_.strides = strides_.data();
  }
  OwnTensor(const OwnTensor&) = delete;
  OwnTensor& operator=(const OwnTensor&) = delete;

  DLTensor* view() { return &view_; }
  void* data() { return memory_.get(); }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::vector<std::int64_t> shape_;
  std::vector<std::int64_t> strides_;
  std::unique_ptr<void, Free> memory_;
  DLTensor view_{};
};

void WriteLibrary(const Candidate& candidate, const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
  const bool written = file != nullptr && std::fwrite(candidate.library, 1, candidate.library_bytes,
                                                      file.get()) == candidate.library_bytes;
  if (!written || std::fflush(file.get()) != 0) {
    throw std::runtime_error("cannot write '" + path + "': " + std::strerror(errno));
  }
}

Timing Measure(const Batch& batch, const Candidate& candidate, const std::string& library,
               const Effort& effort) {
  WriteLibrary(candidate, library);
  const ffi::Module module = ffi::Module::LoadFromFile(library);
  unlink(library.c_str());
  const ffi::Function kernel = module->GetFunction("kernel").value();

  std::vector<std::unique_ptr<OwnTensor>> tensors;
  for (const auto* const part : {&batch.inputs, &candidate.constants}) {
    for (const Tensor& tensor : *part) tensors.push_back(std::make_unique<OwnTensor>(tensor));
  }
  tensors.push_back(std::make_unique<OwnTensor>(batch.expected));
  void* const output = tensors.back()->data();
  std::memset(output, kGarbage, batch.expected.bytes);
  std::vector<ffi::AnyView> arguments;
  for (const auto& tensor : tensors) arguments.emplace_back(tensor->view());

  const auto call = [&](std::int64_t times) {
    const std::int64_t start = Nanoseconds();
    for (std::int64_t i = 0; i < times; ++i) {
      ffi::Any nothing;
      kernel.CallPacked(arguments.data(), static_cast<std::int32_t>(arguments.size()), &nothing);
    }
    return static_cast<double>(Nanoseconds() - start) / static_cast<double>(times);
  };
  const auto right = [&] {
    return std::memcmp(output, batch.expected.data, batch.expected.bytes) == 0;
  };

  Timing timing{};
  call(1);
  if (!right()) {
    timing.outcome = 1;
    return timing;
  }
  double fastest = call(1);
  const std::int64_t warm = Nanoseconds() + effort.warmup_ms * std::int64_t{1000000};
  while (Nanoseconds() < warm) fastest = std::min(fastest, call(1));
  const auto calls = static_cast<std::int64_t>(
      std::clamp(effort.sample_us * 1e3 / std::max(fastest, 1.0), 1.0, 1e6));
  std::vector<double> samples;
  const std::int64_t end = Nanoseconds() + effort.measure_ms * std::int64_t{1000000};
  while (samples.size() < kFewestSamples || Nanoseconds() < end) samples.push_back(call(calls));
  std::sort(samples.begin(), samples.end());
  timing.samples = static_cast<std::int32_t>(samples.size());
  timing.min_ns = samples.front();
  timing.median_ns = samples[samples.size() / 2];
  timing.outcome = right() ? 0 : 1;
  return timing;
}

}  // namespace

Timing MeasureKernel(const Batch& batch, const Candidate& candidate, const std::string& library,
                     const Effort& effort) {
  Timing failed{};
  failed.outcome = 2;
  try {
    return Measure(batch, candidate, library, effort);
  } catch (const std::exception& error) {
    std::snprintf(failed.message, sizeof failed.message, "%s", error.what());
  }
  unlink(library.c_str());
  return failed;
}

}  // namespace bitat_deploy
