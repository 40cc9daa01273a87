#include "model_file.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "../library/network.h"

namespace bitat_deploy {

namespace {

constexpr std::size_t kLongestDescription = 16 << 20;

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

std::string ModelFile(const std::string& path) {
  struct stat status {};
  const bool is_folder = stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  return is_folder ? path + "/model.so" : path;
}

void CheckModelFile(const std::string& model) {
  const std::string named = "the model '" + model + "'";
  if (access(model.c_str(), R_OK) != 0) {
    throw Failure(BITAT_BAD_FILE, "cannot read " + named + ": " + std::strerror(errno));
  }
  std::ifstream own("/proc/self/exe", std::ios::binary);
  std::ifstream file(model, std::ios::binary | std::ios::ate);
  if (!file || !own) throw Failure(BITAT_BAD_FILE, "cannot read " + named);
  const auto total = static_cast<std::uint64_t>(file.tellg());
  if (total < sizeof(Elf64_Ehdr)) throw std::runtime_error(named + " is no compiled network");
  const Elf64_Ehdr header = Read<Elf64_Ehdr>(file, 0, 1)[0];
  const Elf64_Ehdr program = Read<Elf64_Ehdr>(own, 0, 1)[0];
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_DYN ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) {
    throw std::runtime_error(named + " is no compiled network");
  }
  if (header.e_machine != program.e_machine) {
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

std::string DescriptionFile(const std::string& model) {
  const std::size_t name = model.rfind('/') + 1;  // 0 where there is no slash
  const std::size_t dot = model.rfind('.');
  const bool has_ending = dot != std::string::npos && dot > name;
  return (has_ending ? model.substr(0, dot) : model) + ".txt";
}

Description ReadDescription(const std::string& model) {
  const std::string path = DescriptionFile(model);
  if (access(path.c_str(), F_OK) != 0) return {};
  std::ifstream file(path, std::ios::binary);
  // Piece by piece: room for the longest one would be most of what a program holds.
  std::string text;
  char piece[4096];
  while (text.size() <= kLongestDescription && (file.read(piece, sizeof piece), file.gcount() > 0)) {
    text.append(piece, static_cast<std::size_t>(file.gcount()));
  }
  if (text.size() > kLongestDescription) text.clear();
  return ParseDescription(text, "'" + path + "'");
}

}  // namespace bitat_deploy
