// Loops that workers share, each of which reads what all threads wrote in the one before: for
// scripts/sanitize-runner, where ThreadSanitizer sees bodies and memory, which it does not of TVM's
// kernels. Several networks run in threads of their own, and one is made and ended again and again.
//
//   program THREADS NETWORKS RUNS   exit code 1 if anything is computed wrongly
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "workers.h"

using bitat_deploy::LoopEnvironment;
using bitat_deploy::Workers;

namespace {

constexpr int kValues = 1000;
constexpr int kLoops = 20;

struct Layer {
  const std::vector<std::uint32_t>* from;
  std::vector<std::uint32_t>* to;
  int failing;  // the task that fails, or -1
};

// Row by row: each value is the sum of two that other threads wrote.
int Body(int task, LoopEnvironment* environment, void* closure) {
  const auto* const layer = static_cast<const Layer*>(closure);
  const int part = (kValues + environment->tasks - 1) / environment->tasks;
  for (int i = task * part; i < kValues && i < (task + 1) * part; ++i) {
    (*layer->to)[i] = (*layer->from)[kValues - 1 - i] + (*layer->from)[(i + 7) % kValues];
  }
  return task == layer->failing ? -1 : 0;
}

std::vector<std::uint32_t> Run(bool failing) {
  std::vector<std::uint32_t> from(kValues), to(kValues);
  for (int i = 0; i < kValues; ++i) from[i] = static_cast<std::uint32_t>(i);
  for (int loop = 0; loop < kLoops; ++loop) {
    Layer layer{&from, &to, failing && loop == 3 ? 0 : -1};
    if ((Workers::Launch(Body, &layer, 0) != 0) != (layer.failing == 0)) std::exit(1);
    from.swap(to);
  }
  return from;
}

bool Network(int threads, int runs) {
  const std::vector<std::uint32_t> expected = Run(false);  // by this thread alone
  bool right = true;
  for (int run = 0; run < runs;) {
    Workers workers(threads);
    // Of ten runs one comes late, when the workers sleep.
    for (int i = 0; i < 10 && run < runs; ++i, ++run) {
      if (i == 9) std::this_thread::sleep_for(std::chrono::milliseconds(3));
      const Workers::Region region(workers);
      right = Run(i == 5) == expected && right;
    }
  }
  return right;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const int threads = std::atoi(arguments[1]), runs = std::atoi(arguments[3]);
  std::vector<int> right(static_cast<std::size_t>(std::atoi(arguments[2])));
  std::vector<std::thread> networks;
  for (int& one : right) networks.emplace_back([&one, threads, runs] { one = Network(threads, runs); });
  for (std::thread& network : networks) network.join();
  for (const int one : right) {
    if (!one) {
      std::fprintf(stderr, "error: other values than one thread computes\n");
      return 1;
    }
  }
  return 0;
}
