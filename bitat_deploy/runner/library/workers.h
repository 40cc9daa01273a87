// The threads that share a network's parallel loops.
//
// A run of the network is one parallel region: its workers are woken once and then wait for loop
// after loop without the system's help, so that a loop starts and ends within a few cache misses.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace bitat_deploy {

// A loop's environment and body, as TVM's kernels have them (tvm/runtime/c_backend_api.h).
struct LoopEnvironment {
  void* synchronization;
  std::int32_t tasks;
};
using LoopBody = int (*)(int task, LoopEnvironment* environment, void* closure);

class Workers {
 public:
  static constexpr int kMost = 64;  // threads: one bit of a word for each

  // The caller of Run is one of the threads; more than kMost are not used. Throws
  // std::system_error where no thread can be started.
  explicit Workers(int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // While it lives, loops that this thread starts are shared by the workers.
  class Region {
   public:
    explicit Region(Workers& workers);
    ~Region();
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

   private:
    Workers* const before_;
  };

  int threads() const { return threads_; }

  // Runs a loop in the region of this thread, or in this thread alone where there is none. What
  // kernels call as TVMBackendParallelLaunch; 0, or what a body returned that failed.
  static int Launch(LoopBody body, void* closure, int tasks);

 private:
  void Share(LoopBody body, void* closure);
  void Work(int own);
  void Serve(int own);
  bool AwaitTasks();
  void Wake();
  void Stop();

  const int threads_;
  // The loop, on one cache line. Tasks are the bits of `open_` until a thread takes them. A thread
  // that comes too late finds none: a worker that the system does not let run delays no loop that
  // it has not begun.
  alignas(64) std::atomic<std::uint64_t> open_{0};
  LoopBody body_ = nullptr;
  void* closure_ = nullptr;
  LoopEnvironment environment_;
  // On others, so that who waits is not disturbed.
  alignas(64) std::atomic<int> unfinished_{0};
  std::atomic<int> failure_{0};
  alignas(64) std::atomic<int> asleep_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable woken_;
  std::uint64_t calls_ = 0;  // to wake up
  std::vector<std::thread> workers_;
};

}  // namespace bitat_deploy
