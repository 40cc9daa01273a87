#include "model_file.h"

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <vector>

namespace bitat_deploy {

namespace {

// Whether `size` bytes from `offset` on lie within `total`.
bool Fits(std::uint64_t offset, std::uint64_t size, std::uint64_t total) {
  return offset <= total && size <= total - offset;
}

template <typename Value>
std::vector<Value> Read(std::ifstream& file, std::uint64_t offset, std::size_t count) {
  std::vector<Value> values(count);
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(count * sizeof(Value)));
  if (!file) throw std::runtime_error("the model cannot be read to its end; build it again");
  return values;
}

}  // namespace

void CheckModelFile(const std::string& path) {
  std::ifstream own("/proc/self/exe", std::ios::binary);
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file || !own) throw std::runtime_error("the model '" + path + "' cannot be read");
  const auto total = static_cast<std::uint64_t>(file.tellg());
  const std::string named = "the model '" + path + "'";
  if (total < sizeof(Elf64_Ehdr)) throw std::runtime_error(named + " is no compiled network");
  const Elf64_Ehdr header = Read<Elf64_Ehdr>(file, 0, 1)[0];
  const Elf64_Ehdr runner = Read<Elf64_Ehdr>(own, 0, 1)[0];
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_DYN ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) {
    throw std::runtime_error(named + " is no compiled network");
  }
  if (header.e_machine != runner.e_machine) {
    throw std::runtime_error(named + " is for another processor; build for this device's target");
  }
  const std::string damaged = named + " is cut off or damaged; build it again";
  const std::uint64_t table = std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (header.e_phnum == 0 || !Fits(header.e_phoff, table, total) ||
      !Fits(header.e_shoff, std::uint64_t{header.e_shnum} * header.e_shentsize, total)) {
    throw std::runtime_error(damaged);
  }
  for (const Elf64_Phdr& segment : Read<Elf64_Phdr>(file, header.e_phoff, header.e_phnum)) {
    if (!Fits(segment.p_offset, segment.p_filesz, total)) throw std::runtime_error(damaged);
  }
}

}  // namespace bitat_deploy
