#include "thread_pool.h"

#include <unistd.h>

#include <system_error>

namespace kerasbnn {

ThreadPool::ThreadPool(int threads) : size_(threads), process_(getpid()) {
  for (int number = 1; number < size_; ++number) {
    try {
      threads_.emplace_back([this, number] { Serve(number); });
    } catch (const std::system_error&) {
      break;  // The system has no more threads: the caller does their part.
    }
  }
}

ThreadPool::~ThreadPool() {
  if (getpid() != process_) {
    // After a fork the threads are only there in the parent.
    for (std::thread& thread : threads_) thread.detach();
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_ending_ = true;
  }
  begin_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Run(const std::function<void(int)>& work) {
  const int helpers = getpid() == process_ ? static_cast<int>(threads_.size()) : 0;
  if (helpers > 0) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      work_ = &work;
      running_ = helpers;
      ++round_;
    }
    begin_.notify_all();
  }
  work(0);
  for (int number = helpers + 1; number < size_; ++number) work(number);
  if (helpers == 0) return;
  std::unique_lock<std::mutex> lock(mutex_);
  end_.wait(lock, [this] { return running_ == 0; });
}

void ThreadPool::Serve(int number) {
  int seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    begin_.wait(lock, [&] { return is_ending_ || round_ != seen; });
    if (is_ending_) return;
    seen = round_;
    const std::function<void(int)>* const work = work_;
    lock.unlock();
    (*work)(number);
    lock.lock();
    if (--running_ == 0) end_.notify_one();
  }
}

}  // namespace kerasbnn
