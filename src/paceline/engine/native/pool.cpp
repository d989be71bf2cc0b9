#include "pool.h"

namespace pl {

namespace {

constexpr int kLooks = 64;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

Pool::Pool(int num_threads) {
    try {
        for (int t = 1; t < num_threads; t++) threads_.emplace_back([this, t] { work(t); });
    } catch (...) {  // the system gives no more threads: those that run must end before the exception leaves
        stop();
        throw;
    }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        is_closing_ = true;
        generation_++;
    }
    started_.notify_all();
    for (auto& thread : threads_) thread.join();
}

void Pool::run(Task task, const void* context) {
    task_ = task, context_ = context;
    num_running_ = (int)threads_.size();
    {
        std::lock_guard<std::mutex> lock(mutex_);
        generation_++;
    }
    started_.notify_all();
    task(context, 0);
    for (int look = 0; look < kLooks; look++) {
        if (num_running_ == 0) return;
        pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [this] { return num_running_ == 0; });
}

void Pool::wait_for_task(unsigned seen) {
    for (int look = 0; look < kLooks; look++) {
        if (generation_ != seen) return;
        pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    started_.wait(lock, [&] { return generation_ != seen; });
}

void Pool::work(int thread) {
    for (unsigned seen = 0;; seen++) {
        wait_for_task(seen);
        if (is_closing_) return;
        task_(context_, thread);
        if (--num_running_ == 0) {
            std::lock_guard<std::mutex> lock(mutex_);
            finished_.notify_one();
        }
    }
}

}  // namespace pl
