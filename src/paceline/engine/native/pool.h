// A few threads that do one thing at a time together. With one thread no thread is made.
//
// Between tasks a thread looks for the next one for about two microseconds, then sleeps.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace pl {

class Pool {
public:
    explicit Pool(int num_threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int num_threads() const { return (int)threads_.size() + 1; }

    // Call body(first, last, thread) on every thread, each with its own piece of 0 .. count-1; return when all are done.
    template <class Body>
    void split(int count, const Body& body) {
        const int n = count < num_threads() ? count : num_threads();
        if (n <= 1) {
            if (count > 0) body(0, count, 0);
            return;
        }
        const auto piece = [&](int t) {
            const int first = (int)((int64_t)count * t / n), last = (int)((int64_t)count * (t + 1) / n);
            if (t < n) body(first, last, t);
        };
        using Piece = decltype(piece);
        run([](const void* context, int t) { (*(const Piece*)context)(t); }, &piece);
    }

private:
    using Task = void (*)(const void*, int);
    void run(Task task, const void* context);
    void stop();
    void work(int thread);
    void wait_for_task(unsigned seen);

    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable started_, finished_;
    std::atomic<unsigned> generation_{0};
    std::atomic<int> num_running_{0};
    std::atomic<bool> is_closing_{false};
    Task task_ = nullptr;
    const void* context_ = nullptr;
};

}  // namespace pl
