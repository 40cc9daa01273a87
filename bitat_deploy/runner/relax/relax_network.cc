#include "relax_network.h"

#include <dlfcn.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

#include "model_file.h"

namespace bitat_deploy {

namespace ffi = tvm::ffi;

namespace {

constexpr std::size_t kAlignment = 64;  // a cache line, and TVM's kAllocAlignment
constexpr int kPooledAllocator = 2;     // tvm::runtime::memory::AllocatorType::kPooled

struct AlignedMemory {
  void AllocData(DLTensor* tensor) {
    const std::size_t bytes = ffi::GetDataSize(*tensor);
    tensor->data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    if (tensor->data == nullptr) throw std::bad_alloc();
  }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};

// Calls by tvm-ffi's C interface, where a failure is a return code. libtvm_ffi.so is built with
// another C++ standard library than this one, so no exception may pass from one to the other,
// as it would with `function(arguments...)`.
template <typename Result = ffi::Any, typename... Arguments>
Result Call(const ffi::Function& function, Arguments&&... arguments) {
  return function.CallExpected<Result>(std::forward<Arguments>(arguments)...).value();
}

// Without a slash the dynamic loader would look in the system's folders.
std::string InFolder(const std::string& path) {
  return path.find('/') == std::string::npos ? "./" + path : path;
}

ffi::Module LoadModule(const std::string& path) {
  return Call<ffi::Module>(ffi::Function::GetGlobalRequired("ffi.ModuleLoadFromFile"),
                           InFolder(path));
}

ffi::Function GetFunction(const ffi::Module& module, const std::string& name) {
  const auto found = Call<ffi::Optional<ffi::Function>>(
      ffi::Function::GetGlobalRequired("ffi.ModuleGetFunction"), module, name, false);
  if (!found) throw std::runtime_error("the model has no function '" + name + "'");
  return found.value();
}

// Has the parallel loops of the model in `path`, which is loaded, shared by our workers. Its kernels
// call by a pointer that TVM's runtime sets when it loads them.
void ShareLoops(const std::string& path) {
  const std::unique_ptr<void, int (*)(void*)> library(
      dlopen(InFolder(path).c_str(), RTLD_LAZY | RTLD_NOLOAD), dlclose);
  if (library == nullptr) throw std::runtime_error("the model cannot be opened a second time");
  void* const launch = dlsym(library.get(), "__TVMBackendParallelLaunch");
  if (launch != nullptr) *static_cast<decltype(&Workers::Launch)*>(launch) = Workers::Launch;
}

ffi::Tensor AllocateImages(const bitat_info& info) {
  return ffi::Tensor::FromNDAlloc(AlignedMemory(),
                                  ffi::Shape({info.batch, info.height, info.width, info.channels}),
                                  DLDataType{kDLUInt, 8, 1}, DLDevice{kDLCPU, 0});
}

}  // namespace

RelaxNetwork::RelaxNetwork(const std::string& path, const bitat_info& info)
    : executable_(LoadModule(path)),
      machine_(Call<ffi::Module>(GetFunction(executable_, "vm_load_executable"))),
      input_(AllocateImages(info)),
      workers_(info.threads) {
  ShareLoops(path);
  Call(GetFunction(machine_, "vm_initialization"), static_cast<int>(kDLCPU), 0, kPooledAllocator);
  main_ = GetFunction(machine_, "main");
}

void RelaxNetwork::Run() {
  const Workers::Region region(workers_);
  ffi::Tensor output = Call<ffi::Tensor>(main_, input_);
  const DLDataType type = output.dtype();
  if (output.ndim() != 2 || output.size(0) != input_.size(0) || output.size(1) < 1 ||
      output.size(1) > INT_MAX || type.code != kDLFloat || type.bits != 32 || type.lanes != 1) {
    throw std::runtime_error("the model's result is not float32 [images, classes]");
  }
  output_ = std::move(output);
}

void RelaxNetwork::Watch(bitat_watcher watcher, void* context) {
  watcher_ = watcher;
  context_ = context;
  Call(GetFunction(machine_, "set_instrument"),
       ffi::Function::FromExternC(this, &RelaxNetwork::Instrument, nullptr));
}

// The machine calls it around each call: function, its name, whether before, result, arguments.
int RelaxNetwork::Instrument(void* self, const TVMFFIAny* arguments, int count, TVMFFIAny*) {
  TVM_FFI_SAFE_CALL_BEGIN();
  const auto* const network = static_cast<RelaxNetwork*>(self);
  if (network->watcher_ == nullptr) return 0;
  const ffi::PackedArgs given(reinterpret_cast<const ffi::AnyView*>(arguments), count);
  network->watcher_(network->context_, given[1].cast<const char*>(), !given[2].cast<bool>());
  TVM_FFI_SAFE_CALL_END();
}

std::unique_ptr<Network> LoadNetwork(const std::string& path, bitat_info& info,
                                     Description& description) {
  const std::string model = ModelFile(path);
  CheckModelFile(model);
  description = ReadDescription(model);
  Settle(info, description.info);
  if (info.batch == 0) info.batch = 1;
  if (info.height == 0 || info.width == 0 || info.channels == 0) {
    throw Failure(BITAT_BAD_FILE, "'" + DescriptionFile(model) +
                                      "' is missing; build again, or give the shape of an image");
  }
  info.threads = std::clamp(info.threads, 1, Workers::kMost);
  try {
    return std::make_unique<RelaxNetwork>(model, info);
  } catch (const ffi::Error& error) {
    // TVM's own words for a model of another version are a line of its source.
    if (std::string(error.what()).find("version == ") == std::string::npos) throw;
    throw std::runtime_error("the model '" + model +
                             "' was compiled by another version of TVM; build the bundle again");
  }
}

}  // namespace bitat_deploy
