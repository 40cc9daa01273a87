// A bundle's network in your own program: load it once, run it as often as you like. One thread.
#pragma once

// tvm-ffi's classes stay private to this program, which is compiled with -fvisibility=hidden: they
// hold types of its own C++ standard library, and libtvm_ffi.so is built with another one.
#define TVM_FFI_DLL
#define TVM_FFI_DLL_EXPORT

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>

namespace example {

namespace ffi = tvm::ffi;

class Network {
 public:
  // Loads `model`, a path with a slash in it, for images of that shape. Throws std::exception.
  Network(const std::string& model, std::int64_t height, std::int64_t width, std::int64_t channels)
      : input_(ffi::Tensor::FromNDAlloc(Memory(), ffi::Shape({1, height, width, channels}),
                                        DLDataType{kDLUInt, 8, 1}, DLDevice{kDLCPU, 0})) {
    constexpr int kPooledAllocator = 2;
    const auto load = ffi::Function::GetGlobalRequired("ffi.ModuleLoadFromFile");
    executable_ = Call<ffi::Module>(load, model);
    machine_ = Call<ffi::Module>(Get(executable_, "vm_load_executable"));
    Call(Get(machine_, "vm_initialization"), static_cast<int>(kDLCPU), 0, kPooledAllocator);
    main_ = Get(machine_, "main");
  }

  // Where the next image goes: uint8, row by row. It keeps its place.
  std::uint8_t* input() { return static_cast<std::uint8_t*>(input_.data_ptr()); }
  std::size_t input_bytes() const { return static_cast<std::size_t>(input_.numel()); }

  // Runs the image in input(). The logits, one for each class, live until the next call.
  const float* Run() {
    output_ = Call<ffi::Tensor>(main_, input_);
    return static_cast<const float*>(output_.data_ptr());
  }

  // Known after the first run.
  std::int64_t classes() const { return output_.size(1); }

 private:
  struct Memory {
    void AllocData(DLTensor* tensor) {
      constexpr std::size_t kAlignment = 64;  // what TVM's code expects
      const std::size_t bytes = ffi::GetDataSize(*tensor);
      tensor->data = std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment);
      if (tensor->data == nullptr) throw std::bad_alloc();
    }
    void FreeData(DLTensor* tensor) { std::free(tensor->data); }
  };

  // By tvm-ffi's C interface: no exception may pass from libtvm_ffi.so to this program.
  template <typename Result = ffi::Any, typename... Arguments>
  static Result Call(const ffi::Function& function, Arguments&&... arguments) {
    return function.CallExpected<Result>(std::forward<Arguments>(arguments)...).value();
  }

  static ffi::Function Get(const ffi::Module& module, const std::string& name) {
    const auto get = ffi::Function::GetGlobalRequired("ffi.ModuleGetFunction");
    return Call<ffi::Optional<ffi::Function>>(get, module, name, false).value();
  }

  ffi::Tensor input_;
  ffi::Module executable_{ffi::UnsafeInit{}};
  ffi::Module machine_{ffi::UnsafeInit{}};
  ffi::Function main_;
  ffi::Tensor output_;
};

}  // namespace example
