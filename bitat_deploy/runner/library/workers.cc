#include "workers.h"

#include <algorithm>
#include <chrono>

namespace bitat_deploy {

namespace {

// How long a thread waits without the system, then letting others run, before it sleeps.
constexpr int kSpins = 2000;
constexpr auto kPatience = std::chrono::milliseconds(1);

thread_local Workers* current = nullptr;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  asm volatile("yield");
#endif
}

}  // namespace

Workers::Workers(int threads)
    : threads_(std::clamp(threads, 1, kMost)), environment_{nullptr, threads_} {
  try {
    for (int own = 1; own < threads_; ++own) workers_.emplace_back([this, own] { Serve(own); });
  } catch (...) {
    Stop();
    throw;
  }
}

Workers::~Workers() { Stop(); }

void Workers::Stop() {
  stop_ = true;
  Wake();
  for (std::thread& worker : workers_) worker.join();
}

Workers::Region::Region(Workers& workers) : before_(current) {
  current = &workers;
  if (workers.asleep_ > 0) workers.Wake();
}

Workers::Region::~Region() { current = before_; }

int Workers::Launch(LoopBody body, void* closure, int) {
  if (current == nullptr || current->threads_ == 1) {
    LoopEnvironment alone{nullptr, 1};
    return body(0, &alone, closure);
  }
  current->Share(body, closure);
  return current->failure_.exchange(0, std::memory_order_relaxed);
}

void Workers::Share(LoopBody body, void* closure) {
  body_ = body;
  closure_ = closure;
  unfinished_.store(threads_, std::memory_order_relaxed);
  open_ = ~std::uint64_t{0} >> (kMost - threads_);
  if (asleep_ > 0) Wake();
  Work(0);
  for (int spins = 0; unfinished_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

// Takes tasks as long as there are some, the one with its own number first: a thread's part of a
// layer reads much of what its part of the layer before has written.
void Workers::Work(int own) {
  std::uint64_t task = std::uint64_t{1} << own;
  for (std::uint64_t open = open_.load(std::memory_order_relaxed); open != 0;
       open = open_.load(std::memory_order_relaxed)) {
    if ((open & task) == 0) task = open & -open;
    if ((open_.fetch_and(~task, std::memory_order_acq_rel) & task) == 0) continue;
    const int result = body_(__builtin_ctzll(task), &environment_, closure_);
    if (result != 0) failure_.store(result, std::memory_order_relaxed);
    unfinished_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

void Workers::Serve(int own) {
  while (AwaitTasks()) Work(own);
}

// False where the workers shall end.
bool Workers::AwaitTasks() {
  const auto ready = [this] { return open_ != 0 || stop_; };
  for (int spins = 0; spins < kSpins; ++spins) {
    if (ready()) return !stop_;
    Pause();
  }
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < end) {
    if (ready()) return !stop_;
    std::this_thread::yield();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  const std::uint64_t calls = calls_;
  ++asleep_;
  woken_.wait(lock, [&] { return ready() || calls_ != calls; });
  --asleep_;
  return !stop_;
}

void Workers::Wake() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++calls_;
  }
  woken_.notify_all();
}

}  // namespace bitat_deploy
