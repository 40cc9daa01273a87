#include "measure.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <stdexcept>
#include <stdexcept>
#include <string>

namespace bitat_deploy {

namespace {

// A line on standard error, at most once a second. The host shows it as a progress bar; and if the
// connection has gone silently, writing is what makes the device's sshd notice.
class Progress {
 public:
  Progress(const char* stage, std::int64_t total) : stage_(stage), total_(total) {}

  void Report(std::int64_t done) {
    const std::int64_t now = Nanoseconds();
    if (now - last_ < 1000000000 && done != total_) return;
    last_ = now;
    std::fprintf(stderr, "progress %s %lld %lld\n", stage_, static_cast<long long>(done),
                 static_cast<long long>(total_));
  }

 private:
  const char* stage_;
  std::int64_t total_;
  std::int64_t last_ = 0;
};

std::ifstream OpenImages(const Arguments& arguments, std::int64_t* count) {
  std::ifstream file(arguments.images, std::ios::binary | std::ios::ate);
  if (!file) throw FileError("cannot read the images '" + arguments.images + "'");
  const auto bytes = static_cast<std::size_t>(file.tellg());
  if (bytes == 0 || bytes % arguments.ImageBytes() != 0) {
    throw FileError("the images '" + arguments.images + "' have " + std::to_string(bytes) +
                    " bytes, which is not a whole number of images of " +
                    std::to_string(arguments.ImageBytes()) + " bytes");
  }
  file.seekg(0);
  *count = static_cast<std::int64_t>(bytes / arguments.ImageBytes());
  return file;
}

void ReadImage(std::ifstream& file, Network& network, const Arguments& arguments) {
  file.read(reinterpret_cast<char*>(network.input()),
            static_cast<std::streamsize>(arguments.ImageBytes()));
  if (!file) throw FileError("the images '" + arguments.images + "' ended early");
}

std::int64_t PeakMemoryBytes() {
  // Not getrusage: its ru_maxrss counts what the parent process held before it became this one.
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
  }
  throw std::runtime_error("/proc/self/status has no VmHWM");
}

}  // namespace

std::int64_t Nanoseconds(std::int64_t start) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count() - start;
}

std::int64_t ProcessorNanoseconds() {
  timespec used{};
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) {
    throw std::runtime_error("this system does not tell how much processor time was used");
  }
  return static_cast<std::int64_t>(used.tv_sec) * 1000000000 + used.tv_nsec;
}

Measurement MeasureLatency(Network& network, const Arguments& arguments) {
  std::int64_t images = 0;
  std::ifstream file = OpenImages(arguments, &images);
  ReadImage(file, network, arguments);

  Measurement result;
  const std::int64_t first = Nanoseconds();
  network.Run();
  result.first_inference_ns = Nanoseconds(first);
  for (int i = 0; i < arguments.warmup; ++i) network.Run();
  result.peak_rss_bytes = PeakMemoryBytes();

  Progress progress("latency", arguments.min_runs);
  const std::int64_t begin = Nanoseconds();
  for (int run = 1; run <= arguments.max_runs; ++run) {
    const std::int64_t start = Nanoseconds();
    network.Run();
    const std::int64_t end = Nanoseconds();
    result.durations_ns.push_back(end - start);
    const double seconds = static_cast<double>(end - begin) * 1e-9;
    if (seconds >= arguments.max_seconds) break;
    if (run >= arguments.min_runs && seconds >= arguments.min_seconds) break;
    if (run < arguments.min_runs) progress.Report(run);
  }
  return result;
}

std::int64_t WriteLogits(Network& network, const Arguments& arguments) {
  std::int64_t images = 0;
  std::ifstream file = OpenImages(arguments, &images);
  const std::string unfinished = arguments.logits + ".unfinished";
  std::ofstream logits(unfinished, std::ios::binary | std::ios::trunc);
  Progress progress("accuracy", images);
  // One image at a time, so that the peak memory is the network's and not the data set's.
  for (std::int64_t i = 1; i <= images && logits; ++i) {
    ReadImage(file, network, arguments);
    network.Run();
    logits.write(reinterpret_cast<const char*>(network.logits()),
                 static_cast<std::streamsize>(network.classes() * sizeof(float)));
    progress.Report(i);
  }
  logits.close();
  if (!logits || std::rename(unfinished.c_str(), arguments.logits.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    std::remove(unfinished.c_str());
    throw FileError("cannot write the logits '" + arguments.logits + "': " + reason);
  }
  return images;
}

}  // namespace bitat_deploy
