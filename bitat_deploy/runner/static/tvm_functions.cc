#include "tvm_functions.h"

#include <tvm/ffi/c_api.h>

#include <cstdint>
#include <cstdlib>
#include <map>

namespace {

constexpr std::uint64_t kAlignment = 64;  // TVM's kTempAllocaAlignment

// Blocks are kept for the next call, as TVM's runtime does. Kernels run one at a time.
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

  void Free(void* memory) {
    const auto block = used_.find(memory);
    free_.emplace(block->second, memory);
    used_.erase(block);
  }

 private:
  std::multimap<std::uint64_t, void*> free_;
  std::map<void*, std::uint64_t> used_;
};

Workspace workspace;
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

// Kernels call these functions (tvm/runtime/c_backend_api.h). The first two are pointers, weak and
// null in an object file with kernels that need memory; these definitions take their place.
extern decltype(&AllocateWorkspace) __TVMBackendAllocWorkspace;
extern decltype(&FreeWorkspace) __TVMBackendFreeWorkspace;
decltype(&AllocateWorkspace) __TVMBackendAllocWorkspace = AllocateWorkspace;
decltype(&FreeWorkspace) __TVMBackendFreeWorkspace = FreeWorkspace;

void TVMFFIErrorSetRaisedFromCStrParts(const char* kind, const char** parts, int32_t count) {
  error = std::string(kind) + ": ";
  for (int32_t i = 0; i < count; ++i) error += parts[i];
}

}  // extern "C"

namespace bitat_deploy {

const std::string& KernelError() { return error; }

}  // namespace bitat_deploy
