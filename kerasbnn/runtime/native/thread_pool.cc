#include "thread_pool.h"

#include <unistd.h>

#include <system_error>

namespace kerasbnn {

ThreadPool::ThreadPool(int threads)
    : size_(threads), process_(getpid()), signals_(std::make_unique<Signals>()) {
  threads_.reserve(size_);
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
    // To destroy what they wait with would be to wait for them.
    signals_.release();
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(signals_->mutex);
    is_ending_ = true;
  }
  signals_->begin.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Run(const std::function<void(int)>& work) {
  const int helpers = getpid() == process_ ? static_cast<int>(threads_.size()) : 0;
  if (helpers > 0) {
    {
      const std::lock_guard<std::mutex> lock(signals_->mutex);
      work_ = &work;
      running_ = helpers;
      ++round_;
    }
    signals_->begin.notify_all();
  }
  work(0);
  for (int number = helpers + 1; number < size_; ++number) work(number);
  if (helpers == 0) return;
  std::unique_lock<std::mutex> lock(signals_->mutex);
  signals_->end.wait(lock, [this] { return running_ == 0; });
}

void ThreadPool::Serve(int number) {
  uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(signals_->mutex);
  while (true) {
    signals_->begin.wait(lock, [&] { return is_ending_ || round_ != seen; });
    if (is_ending_) return;
    seen = round_;
    const std::function<void(int)>* const work = work_;
    lock.unlock();
    (*work)(number);
    lock.lock();
    if (--running_ == 0) signals_->end.notify_one();
  }
}

}  // namespace kerasbnn
