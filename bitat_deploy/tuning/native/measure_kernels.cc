// Measures a batch of candidate kernels on the device, each in a process of its own.
//
// A candidate that crashes, hangs or gives a wrong answer is reported as such and stops nothing.
// Candidate 0 is the one that others are compared with: it is measured at the beginning of each
// round and once more at the end, so that the host sees how steady the device was.
//
// Batches of two hosts at once take turns: each holds a lock while it measures.

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "batch.h"
#include "kernel.h"

namespace bitat_deploy {
namespace {

enum ExitCode { kDone = 0, kBadUsage = 2, kFailed = 3, kInputClosed = 5 };

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Arguments {
  std::string batch;
  std::string lock;
  int rounds = 2;
  int threads = 1;
  int timeout_ms = 10000;   // of one candidate in one round
  int cool_down_ms = 20;    // after each
  Effort effort;
};

const char* const kUsage =
    "usage: measure_kernels --batch FILE [options]\n"
    "\n"
    "Prints one JSON document to standard output and its progress to standard error; ends as soon\n"
    "as standard input is closed.\n"
    "\n"
    "  --batch FILE        candidates, their inputs and the expected output\n"
    "  --lock PATH         file or folder; who holds its lock measures, others wait\n"
    "  --rounds N          measure every candidate so many times (2)\n"
    "  --threads N         worker threads (1)\n"
    "  --warmup-ms N       run each so long before it is timed (10)\n"
    "  --measure-ms N      time each so long (40)\n"
    "  --sample-us N       length of a sample (100)\n"
    "  --timeout-ms N      end a candidate that takes longer (10000)\n"
    "  --cool-down-ms N    rest after each (20)\n";

int Integer(const std::string& option, const char* text) {
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || errno != 0 || value < 0 || value > 1000000000) {
    throw UsageError(option + " '" + text + "' is not a number in range");
  }
  return static_cast<int>(value);
}

Arguments Parse(int count, char** values) {
  Arguments result;
  const std::map<std::string, int*> numbers = {
      {"--rounds", &result.rounds},
      {"--threads", &result.threads},
      {"--warmup-ms", &result.effort.warmup_ms},
      {"--measure-ms", &result.effort.measure_ms},
      {"--sample-us", &result.effort.sample_us},
      {"--timeout-ms", &result.timeout_ms},
      {"--cool-down-ms", &result.cool_down_ms},
  };
  for (int i = 1; i < count; i += 2) {
    const std::string option = values[i];
    if (i + 1 == count) throw UsageError("option '" + option + "' lacks its value");
    const auto number = numbers.find(option);
    if (number != numbers.end()) {
      *number->second = Integer(option, values[i + 1]);
    } else if (option == "--batch") {
      result.batch = values[i + 1];
    } else if (option == "--lock") {
      result.lock = values[i + 1];
    } else {
      throw UsageError("unknown option '" + option + "'");
    }
  }
  if (result.batch.empty()) throw UsageError("--batch is missing");
  return result;
}

std::int64_t Milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

pid_t child = 0;  // the candidate that runs, to be ended with us

[[noreturn]] void Leave(int code) {
  if (child > 0) kill(child, SIGKILL);
  std::fflush(stdout);
  _exit(code);
}

// Waits until `descriptor` (or none: -1) can be read, at most so long; whether it can. The host
// holds our standard input open for as long as it is there: when it is closed, this program ends.
bool Wait(int descriptor, std::int64_t milliseconds) {
  const std::int64_t deadline = Milliseconds() + milliseconds;
  for (;;) {
    pollfd waited[2] = {{STDIN_FILENO, POLLIN, 0}, {descriptor, POLLIN, 0}};
    const std::int64_t left = deadline - Milliseconds();
    const int ready = poll(waited, 2, left > 0 ? static_cast<int>(left) : 0);
    if (ready < 0 && errno != EINTR) throw std::runtime_error(std::strerror(errno));
    if (ready <= 0) {
      if (Milliseconds() >= deadline) return false;
      continue;
    }
    if (waited[0].revents != 0) {
      char ignored[64];
      if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) Leave(kInputClosed);
    }
    if (waited[1].revents != 0) return true;
  }
}

void TakeLock(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw std::runtime_error("cannot open '" + path + "': " + strerror(errno));
  bool told = false;
  while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      throw std::runtime_error("cannot lock '" + path + "': " + std::strerror(errno));
    }
    if (!told) std::fputs("waiting\n", stderr);
    told = true;
    Wait(-1, 100);
  }
}

// What is known of a candidate after some rounds.
struct Result {
  std::string outcome = "ok";
  std::string message;
  std::vector<double> min_ns;
  std::vector<double> median_ns;
};

std::string Described(int status) {
  if (WIFSIGNALED(status)) return strsignal(WTERMSIG(status));
  return "it ended with exit code " + std::to_string(WEXITSTATUS(status));
}

[[noreturn]] void RunChild(const Batch& batch, std::size_t index, const Arguments& arguments,
                           int pipe) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // tvm-ffi's handler would print a backtrace, for which a crashed process is no place.
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) std::signal(fault, SIG_DFL);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // Whatever it prints, it does not print into our document.
  const int nowhere = open("/dev/null", O_RDWR);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(nowhere, stream);
  const Timing timing =
      MeasureKernel(batch, batch.candidates[index], "./candidate.so", arguments.effort);
  const bool sent = write(pipe, &timing, sizeof timing) == sizeof timing;
  _exit(sent ? 0 : 1);
}

// Measures one candidate once, in a process of its own.
void MeasureOnce(const Batch& batch, std::size_t index, const Arguments& arguments,
                 Result& result) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error(std::strerror(errno));
  child = fork();
  if (child < 0) throw std::runtime_error(std::string("cannot fork: ") + std::strerror(errno));
  if (child == 0) RunChild(batch, index, arguments, ends[1]);
  close(ends[1]);
  Timing timing{};
  const bool answered = Wait(ends[0], arguments.timeout_ms);
  const bool complete = answered && read(ends[0], &timing, sizeof timing) == sizeof timing;
  if (!answered) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  child = 0;
  close(ends[0]);
  unlink("./candidate.so");  // it may have been left
  if (!answered) {
    result.outcome = "hung";
    result.message = "it took longer than " + std::to_string(arguments.timeout_ms) + " ms";
  } else if (!complete) {
    result.outcome = "crashed";
    result.message = Described(status);
  } else if (timing.outcome == 1) {
    result.outcome = "wrong";
  } else if (timing.outcome == 2) {
    timing.message[sizeof timing.message - 1] = '\0';
    const std::string message = timing.message;
    if (message.find("No space left") != std::string::npos) throw std::runtime_error(message);
    result.outcome = "crashed";
    result.message = message;
  } else {
    result.min_ns.push_back(timing.min_ns);
    result.median_ns.push_back(timing.median_ns);
  }
  if (arguments.cool_down_ms > 0) Wait(-1, arguments.cool_down_ms);
}

std::string Escaped(const std::string& text) {
  std::string result;
  for (const char character : text) {
    const bool plain = character >= ' ' && character <= '~' && character != '"' && character != '\\';
    result += plain ? character : ' ';
  }
  return result;
}

void PrintNumbers(const char* name, const std::vector<double>& values) {
  std::printf("\"%s\": [", name);
  const char* separator = "";
  for (const double value : values) {
    std::printf("%s%.1f", separator, value);
    separator = ", ";
  }
  std::printf("]");
}

void PrintDocument(const std::vector<Result>& results) {
  std::printf("{\"schema_version\": 1, \"candidates\": [");
  const char* separator = "";
  for (const Result& result : results) {
    std::printf("%s{\"outcome\": \"%s\", \"message\": \"%s\", ", separator, result.outcome.c_str(),
                Escaped(result.message).c_str());
    PrintNumbers("min_ns", result.min_ns);
    std::printf(", ");
    PrintNumbers("median_ns", result.median_ns);
    std::printf("}");
    separator = ", ";
  }
  std::printf("]}\n");
  if (std::fflush(stdout) != 0) throw std::runtime_error("cannot write the result");
}

void Run(const Arguments& arguments) {
  // TVM reads it when its thread pool starts, with the first parallel loop.
  setenv("TVM_NUM_THREADS", std::to_string(arguments.threads).c_str(), 1);
  const Batch batch(arguments.batch);
  if (!arguments.lock.empty()) TakeLock(arguments.lock);
  std::vector<Result> results(batch.candidates.size());
  const std::size_t total = results.size() * static_cast<std::size_t>(arguments.rounds);
  std::size_t done = 0;
  for (int round = 0; round < arguments.rounds; ++round) {
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i].outcome == "ok") MeasureOnce(batch, i, arguments, results[i]);
      std::fprintf(stderr, "progress kernels %zu %zu\n", ++done, total);
    }
  }
  if (!results.empty() && results[0].outcome == "ok") {
    MeasureOnce(batch, 0, arguments, results[0]);
  }
  PrintDocument(results);
}

int Main(int count, char** values) {
  if (count == 2 && (std::string(values[1]) == "--help" || std::string(values[1]) == "-h")) {
    std::fputs(kUsage, stdout);
    return kDone;
  }
  try {
    Run(Parse(count, values));
    return kDone;
  } catch (const UsageError& error) {
    std::fprintf(stderr, "error: %s; see measure_kernels --help\n", error.what());
    return kBadUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return kFailed;
  }
}

}  // namespace
}  // namespace bitat_deploy

int main(int count, char** values) { bitat_deploy::Leave(bitat_deploy::Main(count, values)); }
