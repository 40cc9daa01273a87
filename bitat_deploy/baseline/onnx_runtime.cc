#include "onnx_runtime.h"

#include <dlfcn.h>

#include <stdexcept>

namespace bitat_deploy {

OnnxRuntime::OnnxRuntime() {
  void* const library = dlopen("libonnxruntime.so", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw std::runtime_error(std::string("ONNX Runtime cannot be loaded: ") + dlerror());
  }
  using GetApiBase = const OrtApiBase* (*)();
  const auto get_base = reinterpret_cast<GetApiBase>(dlsym(library, "OrtGetApiBase"));
  api_ = get_base == nullptr ? nullptr : get_base()->GetApi(1);
  if (api_ == nullptr) throw std::runtime_error("libonnxruntime.so lacks version 1 of ONNX Runtime's interface");
}

void OnnxRuntime::Check(const OrtStatus* status) const {
  if (status == nullptr) return;
  const auto message =
      reinterpret_cast<GetErrorMessage>(const_cast<void*>(api_[kGetErrorMessage]));
  throw std::runtime_error(std::string("ONNX Runtime: ") + message(status));
}

}  // namespace bitat_deploy
