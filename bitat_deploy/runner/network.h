// A compiled network: TVM's Relax virtual machine and the tensors around it.
#pragma once

// tvm-ffi's classes stay private to this program, which is compiled with -fvisibility=hidden. They
// contain types of our own C++ standard library: exported, they would take the place of the same
// classes inside libtvm_ffi.so, which is built with another one, and crash with its first exception.
#define TVM_FFI_DLL
#define TVM_FFI_DLL_EXPORT

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <cstdint>
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
  // Loads model.so, whose function "main" takes uint8 [1, *shape]. Throws std::exception.
  Network(const std::string& path, const std::vector<std::int64_t>& shape);

  // Where the next image goes.
  std::uint8_t* input() { return static_cast<std::uint8_t*>(input_.data_ptr()); }

  // Runs the image in input(). The result lives until the next call.
  void Run();

  // Tells `watcher` of every call from now on, until Unwatch.
  void Watch(Watcher& watcher);
  void Unwatch() { watcher_ = nullptr; }

  const float* logits() const { return static_cast<const float*>(output_.data_ptr()); }
  std::int64_t classes() const { return output_.size(1); }

 private:
  static int Instrument(void* self, const TVMFFIAny* arguments, int count, TVMFFIAny* result);

  tvm::ffi::Module executable_;
  tvm::ffi::Module machine_;
  tvm::ffi::Function main_;
  tvm::ffi::Tensor input_;
  tvm::ffi::Tensor output_;
  Watcher* watcher_ = nullptr;
};

}  // namespace bitat_deploy
