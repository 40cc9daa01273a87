// Calls the functions f0, f1, ... of a library with the tensors of a file and writes their outputs.
//
// Usage: call_functions LIBRARY TENSORS OUTPUTS. TENSORS holds, for each function, the number of its
// tensors and then each tensor: type code, bits, number of axes, axes (int64 each), data. The last
// tensor of a function is its output; its data say what it holds before the call.

#include <dlpack/dlpack.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

class Reader {
 public:
  explicit Reader(const char* path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }
  bool done() const { return position_ == bytes_.size(); }
  int64_t number() {
    int64_t value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  const char* take(size_t size) {
    const char* start = bytes_.data() + position_;
    position_ += size;
    return start;
  }

 private:
  std::vector<char> bytes_;
  size_t position_ = 0;
};

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  size_t size = 0;
  DLTensor view{};

  void read(Reader& reader) {
    view.device = {kDLCPU, 0};
    view.dtype = {static_cast<uint8_t>(reader.number()), static_cast<uint8_t>(reader.number()), 1};
    shape.resize(reader.number());
    size = view.dtype.bits / 8;
    for (int64_t& axis : shape) size *= axis = reader.number();
    strides.assign(shape.size(), 1);
    for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
    view.ndim = static_cast<int32_t>(shape.size());
    view.shape = shape.data();
    view.strides = strides.data();
    view.data = std::aligned_alloc(64, (size + 63) / 64 * 64);
    std::memcpy(view.data, reader.take(size), size);
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const tvm::ffi::Module library = tvm::ffi::Module::LoadFromFile(argv[1]);
  Reader reader(argv[2]);
  std::ofstream outputs(argv[3], std::ios::binary);
  for (int index = 0; !reader.done(); ++index) {
    std::vector<Tensor> tensors(reader.number());
    std::vector<tvm::ffi::AnyView> arguments;
    for (Tensor& tensor : tensors) {
      tensor.read(reader);
      arguments.emplace_back(&tensor.view);
    }
    tvm::ffi::Any result;
    library->GetFunction("f" + std::to_string(index))
        .value()
        .CallPacked(arguments.data(), static_cast<int32_t>(arguments.size()), &result);
    outputs.write(static_cast<const char*>(tensors.back().view.data), tensors.back().size);
    for (Tensor& tensor : tensors) std::free(tensor.view.data);
  }
  return outputs.good() ? 0 : 1;
}
