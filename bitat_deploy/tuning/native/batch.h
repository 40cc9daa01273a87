// A batch of candidates: kernels that compute the same layer, with everything to call them.
#pragma once

// tvm-ffi's classes stay private to this program, as in the runner.
#define TVM_FFI_DLL
#define TVM_FFI_DLL_EXPORT

#include <dlpack/dlpack.h>

#include <cstdint>
#include <string>
#include <vector>

namespace bitat_deploy {

// A tensor of the batch file; its data stay there.
struct Tensor {
  DLDataType type;
  std::vector<std::int64_t> shape;
  const char* data;
  std::size_t bytes;
};

// A shared library with the function `kernel`, and its constants in the layout that it wants.
struct Candidate {
  const char* library;
  std::size_t library_bytes;
  std::vector<Tensor> constants;
};

// File layout, little-endian: magic, number of inputs, inputs, the output's expected value, number
// of candidates; of each the library's size, the library, the number of constants, the constants.
// A tensor is its type code, bits and number of axes, the axes, and the data. Numbers are int64.
class Batch {
 public:
  // Throws std::runtime_error where the file cannot be read or is no whole batch.
  explicit Batch(const std::string& path);

  std::vector<Tensor> inputs;
  Tensor expected;
  std::vector<Candidate> candidates;

 private:
  std::string content_;
};

}  // namespace bitat_deploy
