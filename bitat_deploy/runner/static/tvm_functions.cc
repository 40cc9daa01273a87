#include "tvm_functions.h"

#include <tvm/ffi/c_api.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>

#include "../library/workers.h"

namespace {

constexpr std::uint64_t kAlignment = 64;  // TVM's kTempAllocaAlignment

// A thread's. Blocks are kept for the next call, as TVM's runtime does.
class Workspace {
 public:
  void* Allocate(std::uint64_t bytes) {
    const auto enough = free_.lower_bound(bytes);
    if (enough != free_.end()) {
      const auto block = used_.emplace(enough->second, enough->first).first;
      free_.erase(enough);
      return block->first;
    }
    const std::uint64_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    void* const memory = std::aligned_alloc(kAlignment, static_cast<std::size_t>(size));
    if (memory != nullptr) used_.emplace(memory, size);
    return memory;
  }

  ~Workspace() {
    for (const auto& block : free_) std::free(block.second);
  }

  void Free(void* memory) {
    const auto block = used_.find(memory);
    free_.emplace(block->second, memory);
    used_.erase(block);
  }

 private:
  std::multimap<std::uint64_t, void*> free_;
  std::map<void*, std::uint64_t> used_;
};

thread_local Workspace workspace;
std::mutex mutex;
std::string error = "out of memory";  // for which kernels set no message

void* AllocateWorkspace(int, int, std::uint64_t bytes, int, int) {
  return workspace.Allocate(bytes);
}

int FreeWorkspace(int, int, void* memory) {
  workspace.Free(memory);
  return 0;
}

}  // namespace

extern "C" {

// Kernels call these functions (tvm/runtime/c_backend_api.h). The first three are pointers, weak and
// null in an object file with kernels that need them; these definitions take their place.
extern decltype(&AllocateWorkspace) __TVMBackendAllocWorkspace;
extern decltype(&FreeWorkspace) __TVMBackendFreeWorkspace;
extern decltype(&bitat_deploy::Workers::Launch) __TVMBackendParallelLaunch;
decltype(&AllocateWorkspace) __TVMBackendAllocWorkspace = AllocateWorkspace;
decltype(&FreeWorkspace) __TVMBackendFreeWorkspace = FreeWorkspace;
decltype(&bitat_deploy::Workers::Launch) __TVMBackendParallelLaunch = bitat_deploy::Workers::Launch;

void TVMFFIErrorSetRaisedFromCStrParts(const char* kind, const char** parts, int32_t count) {
  const std::lock_guard<std::mutex> lock(mutex);
  error = std::string(kind) + ": ";
  for (int32_t i = 0; i < count; ++i) error += parts[i];
}

}  // extern "C"

namespace bitat_deploy {

const std::string& KernelError() { return error; }

}  // namespace bitat_deploy
