// Measures a compiled network on the device: latency, logits of every image, peak memory.
//
// A program on the device library, which it finds beside it in lib/. `runner --help` lists its
// options.

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "arguments.h"
#include "library/bitat_deploy.hpp"
#include "measure.h"
#include "profile.h"

namespace bitat_deploy {
namespace {

enum ExitCode {
  kDone = 0,
  kBadUsage = 2,
  kBadFile = 3,
  kBadNetwork = 4,
  kInputClosed = 5,
  kNoMemory = 6,
};

// The host holds our standard input open for as long as it is there: when the connection breaks,
// sshd closes it, and nothing is left running on the device.
void StopAtEndOfInput() {
  std::thread([] {
    char ignored[64];
    while (read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
    }
    _exit(kInputClosed);
  }).detach();
}

void PrintDocument(const Arguments& arguments, std::int64_t load_ns, const Measurement& measured,
                   std::int64_t images, std::int64_t classes,
                   const std::vector<LayerTime>& layers) {
  std::printf("{\"schema_version\": 1, \"load_ns\": %lld, \"first_inference_ns\": %lld, ",
              static_cast<long long>(load_ns), static_cast<long long>(measured.first_inference_ns));
  std::printf("\"warmup\": %d, \"batch\": %d, \"threads\": %d, ", arguments.warmup,
              arguments.batch, arguments.threads);
  std::printf("\"images\": %lld, \"classes\": %lld, ", static_cast<long long>(images),
              static_cast<long long>(classes));
  std::printf("\"peak_rss_bytes\": %lld, \"cpu_ns\": %lld, \"durations_ns\": [",
              static_cast<long long>(measured.peak_rss_bytes),
              static_cast<long long>(ProcessorNanoseconds()));
  const char* separator = "";
  for (const std::int64_t duration : measured.durations_ns) {
    std::printf("%s%lld", separator, static_cast<long long>(duration));
    separator = ", ";
  }
  std::printf("], \"layers_ns\": [");
  separator = "";
  for (const LayerTime& layer : layers) {
    std::printf("%s{\"name\": \"%s\", \"ns\": %lld}", separator, layer.function.c_str(),
                static_cast<long long>(layer.nanoseconds));
    separator = ", ";
  }
  std::printf("]}\n");
}

int Run(const Arguments& arguments) {
  if (arguments.stop_at_end_of_input) StopAtEndOfInput();
  CheckImages(arguments);  // before memory is taken for one
  bitat::Options options;
  options.threads = arguments.threads;
  options.batch = arguments.batch;
  options.height = arguments.shape[0];
  options.width = arguments.shape[1];
  options.channels = arguments.shape[2];
  const std::int64_t start = Nanoseconds();
  bitat::Network network(arguments.model, options);
  const std::int64_t load_ns = Nanoseconds(start);
  const Measurement measured = MeasureLatency(network, arguments);
  const std::int64_t images = WriteLogits(network, arguments);
  const std::vector<LayerTime> layers = ProfileLayers(network, arguments);
  PrintDocument(arguments, load_ns, measured, images, network.info().classes, layers);
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw FileError(std::string("cannot write the result: ") + std::strerror(errno));
  }
  return kDone;
}

int Fail(ExitCode code, const std::string& message) {
  std::fprintf(stderr, "error: %s\n", message.c_str());
  return code;
}

const char* const kMemoryMessage = "not enough memory; end other programs on this device";

ExitCode CodeFor(bitat_status status) {
  switch (status) {
    case BITAT_BAD_ARGUMENT:
      return kBadUsage;
    case BITAT_BAD_FILE:
      return kBadFile;
    case BITAT_NO_MEMORY:
      return kNoMemory;
    default:
      return kBadNetwork;
  }
}

int Main(int count, char** values) {
  try {
    const Arguments arguments = ParseArguments(count, values);
    if (arguments.help) {
      std::fputs(kUsage, stdout);
      return kDone;
    }
    return Run(arguments);
  } catch (const UsageError& error) {
    return Fail(kBadUsage, std::string(error.what()) + "; see runner --help");
  } catch (const FileError& error) {
    return Fail(kBadFile, error.what());
  } catch (const bitat::Error& error) {
    return Fail(CodeFor(error.status()), error.what());
  } catch (const std::bad_alloc&) {
    return Fail(kNoMemory, kMemoryMessage);
  } catch (const std::system_error&) {  // no thread could be started
    return Fail(kNoMemory, kMemoryMessage);
  } catch (const std::exception& error) {
    return Fail(kBadNetwork, error.what());
  }
}

}  // namespace
}  // namespace bitat_deploy

int main(int count, char** values) {
  const int code = bitat_deploy::Main(count, values);
  // The thread that waits for the end of input may be inside read(): leave without tidying up.
  std::fflush(stdout);
  _exit(code);
}
