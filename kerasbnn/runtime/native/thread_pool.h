#ifndef KERASBNN_THREAD_POOL_H_
#define KERASBNN_THREAD_POOL_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace kerasbnn {

// Threads that sleep until there is work. Not spinning: a server has other work for the
// processor. One caller at a time.
class ThreadPool {
 public:
  // With as many threads as given, the caller's among them.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls `work` with 0, 1, ... size - 1, all at the same time, and waits for them.
  void Run(const std::function<void(int)>& work);

 private:
  // What threads wait with.
  struct Signals {
    std::mutex mutex;
    std::condition_variable begin;
    std::condition_variable end;
  };

  void Serve(int number);

  const int size_;
  const int process_;
  std::vector<std::thread> threads_;
  std::unique_ptr<Signals> signals_;
  const std::function<void(int)>* work_ = nullptr;
  uint64_t round_ = 0;
  int running_ = 0;
  bool is_ending_ = false;
};

}  // namespace kerasbnn

#endif  // KERASBNN_THREAD_POOL_H_
