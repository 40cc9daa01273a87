#include "measure.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <stdexcept>
#include <string>

namespace bitat_deploy {

namespace {

std::ifstream OpenImages(const Arguments& arguments, std::int64_t* count) {
  struct stat status {};
  // The size of a folder or a device is meaningless.
  const bool regular = stat(arguments.images.c_str(), &status) == 0 && S_ISREG(status.st_mode);
  std::ifstream file(arguments.images, std::ios::binary | std::ios::ate);
  if (!regular || !file) throw FileError("cannot read the images '" + arguments.images + "'");
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

// The next `count` images, or one batch if that is less. The rest of the batch stays as it is.
std::int64_t ReadBatch(std::ifstream& file, std::int64_t count, bitat::Network& network,
                       const Arguments& arguments) {
  const std::int64_t images = std::min<std::int64_t>(count, arguments.batch);
  file.read(reinterpret_cast<char*>(network.input()),
            static_cast<std::streamsize>(arguments.ImageBytes() * images));
  if (!file) throw FileError("the images '" + arguments.images + "' ended early");
  return images;
}

// Estimates how many runs there will be, from those so far.
std::int64_t ExpectedRuns(int run, double seconds, const Arguments& arguments) {
  const double needed = std::min(run * arguments.min_seconds / std::max(seconds, 1e-9), 1e15);
  return std::max<std::int64_t>({arguments.min_runs, run + 1, std::llround(needed)});
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
    throw std::runtime_error("this system does not report processor time");
  }
  return static_cast<std::int64_t>(used.tv_sec) * 1000000000 + used.tv_nsec;
}

void Progress::Report(std::int64_t done, std::int64_t total) {
  const std::int64_t now = Nanoseconds();
  if (now - last_ < 1000000000 && done != total) return;
  last_ = now;
  std::fprintf(stderr, "progress %s %lld %lld\n", stage_, static_cast<long long>(done),
               static_cast<long long>(total));
}

void CheckImages(const Arguments& arguments) {
  std::int64_t images = 0;
  OpenImages(arguments, &images);
}

void ReadFirstBatch(bitat::Network& network, const Arguments& arguments) {
  std::int64_t images = 0;
  std::ifstream file = OpenImages(arguments, &images);
  const std::size_t bytes = arguments.ImageBytes();
  const std::int64_t read = ReadBatch(file, images, network, arguments);
  for (std::int64_t image = read; image < arguments.batch; ++image) {
    std::memcpy(network.input() + image * bytes, network.input() + image % read * bytes, bytes);
  }
}

Measurement MeasureLatency(bitat::Network& network, const Arguments& arguments) {
  ReadFirstBatch(network, arguments);

  Measurement result;
  const std::int64_t first = Nanoseconds();
  network.Run();
  result.first_inference_ns = Nanoseconds(first);
  for (int i = 0; i < arguments.warmup; ++i) network.Run();
  result.peak_rss_bytes = PeakMemoryBytes();

  Progress progress("latency");
  const std::int64_t begin = Nanoseconds();
  for (int run = 1; run <= arguments.max_runs; ++run) {
    const std::int64_t start = Nanoseconds();
    network.Run();
    const std::int64_t end = Nanoseconds();
    result.durations_ns.push_back(end - start);
    const double seconds = static_cast<double>(end - begin) * 1e-9;
    if (seconds >= arguments.max_seconds) break;
    if (run >= arguments.min_runs && seconds >= arguments.min_seconds) break;
    progress.Report(run, ExpectedRuns(run, seconds, arguments));
  }
  return result;
}

std::int64_t WriteLogits(bitat::Network& network, const Arguments& arguments) {
  std::int64_t images = 0;
  std::ifstream file = OpenImages(arguments, &images);
  struct stat status {};
  if (stat(arguments.logits.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw FileError("cannot write the logits '" + arguments.logits + "': it is no plain file");
  }
  const std::string unfinished = arguments.logits + ".unfinished";
  std::ofstream logits(unfinished, std::ios::binary | std::ios::trunc);
  Progress progress("accuracy");
  // A batch at a time, so that the peak memory is the network's and not the data set's.
  for (std::int64_t done = 0; done < images && logits; progress.Report(done, images)) {
    const std::int64_t read = ReadBatch(file, images - done, network, arguments);
    network.Run();
    logits.write(reinterpret_cast<const char*>(network.logits()),
                 static_cast<std::streamsize>(read * network.info().classes * sizeof(float)));
    done += read;
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
