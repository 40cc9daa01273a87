// A compiled network in TVM's Relax virtual machine, and the tensors around it.
#pragma once

// tvm-ffi's classes stay private to this library, which is compiled with -fvisibility=hidden. They
// contain types of our own C++ standard library: exported, they would take the place of the same
// classes inside libtvm_ffi.so, which is built with another one, and crash with its first exception.
#define TVM_FFI_DLL
#define TVM_FFI_DLL_EXPORT

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <cstdint>
#include <string>

#include "../library/network.h"
#include "../library/workers.h"

namespace bitat_deploy {

class RelaxNetwork : public Network {
 public:
  // Loads model.so, whose function "main" takes uint8 [batch, height, width, channels]. Throws
  // std::exception.
  RelaxNetwork(const std::string& path, const bitat_info& info);

  std::uint8_t* input() override { return static_cast<std::uint8_t*>(input_.data_ptr()); }
  void Run() override;
  const float* logits() const override { return static_cast<const float*>(output_.data_ptr()); }
  int classes() const override { return static_cast<int>(output_.size(1)); }
  void Watch(bitat_watcher watcher, void* context) override;

 private:
  static int Instrument(void* self, const TVMFFIAny* arguments, int count, TVMFFIAny* result);

  tvm::ffi::Module executable_;
  tvm::ffi::Module machine_;
  tvm::ffi::Function main_;
  tvm::ffi::Tensor input_;
  tvm::ffi::Tensor output_;
  Workers workers_;
  bitat_watcher watcher_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace bitat_deploy
