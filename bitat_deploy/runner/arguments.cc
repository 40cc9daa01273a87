#include "arguments.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>

namespace bitat_deploy {

const char* const kUsage =
    "usage: runner --model PATH --shape HxWxC --images FILE --logits FILE [options]\n"
    "\n"
    "Measures the latency of a compiled network, then runs every image through it. Prints one\n"
    "JSON document to standard output and its progress to standard error.\n"
    "\n"
    "  --model PATH          compiled network, or a bundle's folder; not read by a static runner\n"
    "  --shape HxWxC         height, width and channels of an image\n"
    "  --images FILE         uint8 images, one after the other\n"
    "  --logits FILE         where to write float32 logits, one row for each image\n"
    "  --warmup N            runs before measuring (10)\n"
    "  --min-runs N          measure at least so many runs (50) ...\n"
    "  --min-seconds S       ... and at least so long (1)\n"
    "  --max-runs N          stop measuring after so many runs (1000000)\n"
    "  --max-seconds S       stop measuring after so long, but not before the first run (120)\n"
    "  --profile-runs N      afterwards, time each layer over so many runs (0)\n"
    "  --batch N             images that the network takes at once (1)\n"
    "  --threads N           worker threads (1)\n"
    "  --stop-at-end-of-input  end as soon as standard input is closed\n"
    "\n"
    "Exit codes: 0 done, 2 command line, 3 file, 4 network, 5 standard input was closed,\n"
    "6 memory.\n";

namespace {

double Number(const std::string& option, const std::string& text, double lowest, double highest) {
  char* end = nullptr;
  errno = 0;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || errno != 0 || !(value >= lowest && value <= highest)) {
    throw UsageError(option + " '" + text + "' is not a number in range");
  }
  return value;
}

int Integer(const std::string& option, const std::string& text, int lowest, int highest) {
  const double value = Number(option, text, lowest, highest);
  if (value != std::floor(value)) {
    throw UsageError(option + " '" + text + "' is not a whole number");
  }
  return static_cast<int>(value);
}

std::vector<int> Shape(const std::string& option, const std::string& text) {
  std::vector<int> shape;
  std::size_t start = 0;
  while (start <= text.size()) {
    const std::size_t end = text.find('x', start);
    shape.push_back(Integer(option, text.substr(start, end - start), 1, 1 << 14));
    if (end == std::string::npos) break;
    start = end + 1;
  }
  if (shape.size() != 3) {
    throw UsageError(option + " '" + text + "' is not HEIGHTxWIDTHxCHANNELS");
  }
  return shape;
}

}  // namespace

std::size_t Arguments::ImageBytes() const {
  std::size_t bytes = 1;
  for (const int extent : shape) bytes *= static_cast<std::size_t>(extent);
  return bytes;
}

Arguments ParseArguments(int count, char** values) {
  constexpr int kMany = 1000000000;
  Arguments result;
  using Setter = std::function<void(const std::string&, const std::string&)>;
  const std::map<std::string, Setter> setters = {
      {"--model", [&](auto&, auto& text) { result.model = text; }},
      {"--images", [&](auto&, auto& text) { result.images = text; }},
      {"--logits", [&](auto&, auto& text) { result.logits = text; }},
      {"--shape", [&](auto& option, auto& text) { result.shape = Shape(option, text); }},
      {"--warmup",
       [&](auto& option, auto& text) { result.warmup = Integer(option, text, 0, kMany); }},
      {"--min-runs",
       [&](auto& option, auto& text) { result.min_runs = Integer(option, text, 1, kMany); }},
      {"--max-runs",
       [&](auto& option, auto& text) { result.max_runs = Integer(option, text, 1, kMany); }},
      {"--min-seconds",
       [&](auto& option, auto& text) { result.min_seconds = Number(option, text, 0, kMany); }},
      {"--max-seconds",
       [&](auto& option, auto& text) { result.max_seconds = Number(option, text, 0, kMany); }},
      {"--profile-runs",
       [&](auto& option, auto& text) { result.profile_runs = Integer(option, text, 0, 1000000); }},
      {"--batch", [&](auto& option, auto& text) { result.batch = Integer(option, text, 1, 1024); }},
      {"--threads",
       [&](auto& option, auto& text) { result.threads = Integer(option, text, 1, 1024); }},
  };
  for (int i = 1; i < count; ++i) {
    const std::string option = values[i];
    if (option == "--help" || option == "-h") {
      result.help = true;
      return result;
    }
    if (option == "--stop-at-end-of-input") {
      result.stop_at_end_of_input = true;
      continue;
    }
    const auto setter = setters.find(option);
    if (setter == setters.end()) throw UsageError("unknown option '" + option + "'");
    if (++i == count) throw UsageError(option + " needs a value");
    setter->second(option, values[i]);
  }
  if (result.model.empty() || result.images.empty() || result.logits.empty() ||
      result.shape.empty()) {
    throw UsageError("--model, --shape, --images and --logits are needed");
  }
  if (result.max_runs < result.min_runs) {
    throw UsageError("--max-runs is less than --min-runs");
  }
  return result;
}

}  // namespace bitat_deploy
