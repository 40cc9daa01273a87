#include "batch.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace bitat_deploy {

namespace {

const char kMagic[] = "bitat-deploy kernels 1\n";
constexpr std::int64_t kMost = 1 << 28;  // of anything that is counted

class Reader {
 public:
  explicit Reader(const std::string& content) : next_(content.data()), left_(content.size()) {}

  const char* Take(std::size_t bytes) {
    if (bytes > left_) throw std::runtime_error("the batch ends early");
    const char* const start = next_;
    next_ += bytes;
    left_ -= bytes;
    return start;
  }

  std::size_t Number(std::int64_t most = kMost) {
    std::int64_t value = 0;
    std::memcpy(&value, Take(sizeof value), sizeof value);
    if (value < 0 || value > most) throw std::runtime_error("the batch is damaged");
    return static_cast<std::size_t>(value);
  }

  bool done() const { return left_ == 0; }

 private:
  const char* next_;
  std::size_t left_;
};

Tensor ReadTensor(Reader& reader) {
  Tensor tensor{};
  tensor.type.code = static_cast<std::uint8_t>(reader.Number(2));
  tensor.type.bits = static_cast<std::uint8_t>(reader.Number(64));
  tensor.type.lanes = 1;
  tensor.shape.resize(reader.Number(8));
  tensor.bytes = tensor.type.bits / 8;
  for (std::int64_t& extent : tensor.shape) {
    extent = static_cast<std::int64_t>(reader.Number());
    tensor.bytes *= static_cast<std::size_t>(extent);
    if (tensor.bytes > kMost) throw std::runtime_error("the batch is damaged");
  }
  tensor.data = reader.Take(tensor.bytes);
  return tensor;
}

std::vector<Tensor> ReadTensors(Reader& reader) {
  std::vector<Tensor> tensors(reader.Number(64));
  for (Tensor& tensor : tensors) tensor = ReadTensor(reader);
  return tensors;
}

}  // namespace

Batch::Batch(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read the batch '" + path + "'");
  content_.assign(std::istreambuf_iterator<char>(file), {});
  Reader reader(content_);
  constexpr std::size_t kLength = sizeof kMagic - 1;
  if (std::memcmp(reader.Take(kLength), kMagic, kLength) != 0) {
    throw std::runtime_error("'" + path + "' is no batch of this version");
  }
  inputs = ReadTensors(reader);
  expected = ReadTensor(reader);
  candidates.resize(reader.Number(4096));
  for (Candidate& candidate : candidates) {
    candidate.library_bytes = reader.Number();
    candidate.library = reader.Take(candidate.library_bytes);
    candidate.constants = ReadTensors(reader);
  }
  if (!reader.done()) throw std::runtime_error("the batch is damaged");
}

}  // namespace bitat_deploy
