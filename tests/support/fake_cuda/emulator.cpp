#include "support/fake_cuda/emulator.hpp"

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/fake_cuda/fiber.hpp"

#ifdef __x86_64__
// Saves what a function must preserve, changes the stack and restores the same from there.
asm(R"(
  .text
  .p2align 4
  .globl fake_cuda_switch
  .hidden fake_cuda_switch
  .type fake_cuda_switch, @function
fake_cuda_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size fake_cuda_switch, .-fake_cuda_switch
)");
#endif

namespace emulator {

constinit thread_local Place* place = nullptr;

namespace {

constexpr unsigned warp_size = 32, most_threads = 1024;

/// Where threads gather: the block's barrier, or a warp's exchange.
struct Gate {
  unsigned arrived = 0, passes = 0, line = 0;
};

/// A stack on which threads of a block run: one after the other, unless one waits.
struct Fiber {
#ifdef FAKE_CUDA_ASAN
  static constexpr std::size_t bytes = 512 << 10;
#else
  static constexpr std::size_t bytes = 128 << 10;
#endif
  static constexpr std::size_t guard = 64 << 10;

  explicit Fiber(void (*entry)()) {
    void* const memory = mmap(nullptr, guard + bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, guard, PROT_NONE);
    stack = static_cast<std::byte*>(memory) + guard;
    restart(entry);
  }
  void restart(void (*entry)()) {
#ifdef FAKE_CUDA_ASAN
    ASAN_UNPOISON_MEMORY_REGION(stack, bytes);
#endif
    context = start(stack, bytes, entry);
    gate = nullptr;
  }
  bool may_go_on() const {
    return gate && gate->passes != passes;
  }

  std::byte* stack;
  Context context;
  unsigned index = 0;          // of its thread in the block
  const Gate* gate = nullptr;  // where it waits, since the gate was passed so often
  unsigned passes = 0;
};

/// This thread's share of the program's thread-local memory, in which __shared__ variables lie.
std::span<std::byte> thread_memory() {
  std::span<std::byte> found;
#ifndef FAKE_CUDA_ASAN  // its runtime may keep its own there
  dl_iterate_phdr(
      [](dl_phdr_info* program, std::size_t, void* to) {
        for (const ElfW(Phdr) & part : std::span(program->dlpi_phdr, program->dlpi_phnum))
          if (part.p_type == PT_TLS && program->dlpi_tls_data)
            *static_cast<std::span<std::byte>*>(to) = {static_cast<std::byte*>(program->dlpi_tls_data),
                                                       part.p_memsz};
        return 1;  // the program comes first; libraries follow
      },
      &found);
#endif
  return found;
}

/// The block that runs on this thread of the host.
class Block : public Place {
 public:
  static Block& own() {
    if (!place) place = new Block;  // as long as the thread, that is until the end
    return static_cast<Block&>(*place);
  }

  void run(const Kernel& kernel, dim3 grid, dim3 size, std::int64_t number, const void* parameters) {
    kernel_ = &kernel, parameters_ = parameters, threads = size, blocks = grid;
    block = {unsigned(number % grid.x), unsigned(number / grid.x % grid.y),
             unsigned(number / grid.x / grid.y)};
    count_ = size.x * size.y * size.z, begun_ = ended_ = 0;
    error_.clear();
    gate_ = {};
    std::fill(std::begin(warps_), std::end(warps_), Gate());
    spoil_shared_memory();

    std::size_t used = 0;
    while (begun_ < count_ && error_.empty()) resume(fiber(used++));
    for (bool any = true; any && error_.empty();) {
      any = false;
      for (std::size_t warp = 0; warp < used && error_.empty(); warp += warp_size)  // as far as it gets alone
        for (bool more = true; more && error_.empty();) {
          more = false;
          for (std::size_t i = warp; i < std::min<std::size_t>(used, warp + warp_size) && error_.empty(); ++i)
            if (fibers_[i]->may_go_on()) any = more = true, resume(*fibers_[i]);
        }
    }
    if (ended_ == count_ && error_.empty()) return;
    if (error_.empty())
      error_ = "a barrier or an exchange was not reached by all threads of the block or warp";
    for (std::size_t i = 0; i < used; ++i)
      if (fibers_[i]->gate) fibers_[i]->restart(entry);
    throw std::runtime_error(std::string(kernel.name) + ": " + error_);
  }

  void wait_for_block(unsigned line) { arrive(gate_, count_, line); }

  std::uint64_t exchange(unsigned mask, std::uint64_t bits, unsigned lane, unsigned line) {
    if (mask != 0xffffffffu)
      throw std::runtime_error("an exchange in less than a warp, which is not emulated");
    const unsigned first = fiber_->index / warp_size * warp_size;
    Gate& gate = warps_[first / warp_size];
    // Two turns: some threads may bring the next value while others have yet to read this one.
    std::uint64_t* const values = values_[gate.passes % 2];
    values[fiber_->index] = bits;
    arrive(gate, warp_size, line);
    return values[first + lane % warp_size];
  }

  unsigned own_lane() const { return fiber_->index % warp_size; }

 private:
  Block() = default;

  Fiber& fiber(std::size_t i) {
    if (i == fibers_.size()) fibers_.push_back(std::make_unique<Fiber>(entry));
    return *fibers_[i];
  }

  void spoil_shared_memory() {
    Place* const saved = place;
    if (!memory_.empty()) std::memset(memory_.data(), 0xC7, memory_.size());  // -1e5, as a float
    place = saved;
  }

  void resume(Fiber& next) {
    fiber_ = &next;
    next.gate = nullptr;
    set_thread(next.index);
    switch_stack(scheduler_, next.context);
  }
  void suspend() { switch_stack(fiber_->context, scheduler_); }
  void set_thread(unsigned i) {
    thread = {i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y};
  }

  /// The last to arrive goes on at once, ahead of the others: what it overwrites too early will be missed.
  void arrive(Gate& gate, unsigned needed, unsigned line) {
    if (gate.arrived == 0) gate.line = line;
    if (gate.line != line) throw std::runtime_error("threads wait for each other in different places");
    if (++gate.arrived == needed) {
      gate.arrived = 0;
      ++gate.passes;
      return;
    }
    fiber_->gate = &gate;
    fiber_->passes = gate.passes;
    suspend();
  }

  static void entry() {
    Block& self = own();
    arrived_from(self.scheduler_);
    for (;;) {
      Fiber& fiber = *self.fiber_;
      while (self.begun_ < self.count_ && self.error_.empty()) {
        fiber.index = self.begun_++;
        self.set_thread(fiber.index);
        try {
          self.kernel_->call(self.parameters_);
        } catch (const std::exception& error) {
          self.error_ = error.what();
        }
        ++self.ended_;
      }
      self.suspend();
    }
  }

  const std::span<std::byte> memory_ = thread_memory();
  const Kernel* kernel_ = nullptr;
  const void* parameters_ = nullptr;
  unsigned count_ = 0, begun_ = 0, ended_ = 0;  // threads
  std::string error_;
  Gate gate_, warps_[most_threads / warp_size];
  std::uint64_t values_[2][most_threads];
  Context scheduler_;
  Fiber* fiber_ = nullptr;  // the one that runs
  std::vector<std::unique_ptr<Fiber>> fibers_;
};

/// Threads of the host that share loops. They live as long as the program, as device work may come until its
/// end.
class Pool {
 public:
  static Pool& get() {
    static Pool& pool = *new Pool;
    return pool;
  }

  void run(std::int64_t count, const std::function<void(std::int64_t)>& f) {
    const std::lock_guard one_loop_at_a_time(loop_);
    std::unique_lock lock(mutex_);
    f_ = &f, next_ = 0, count_ = count, error_ = nullptr;
    changed_.notify_all();
    done_.wait(lock, [&] { return (next_ == count_ || error_) && busy_ == 0; });
    f_ = nullptr;
    if (error_) std::rethrow_exception(error_);
  }

 private:
  Pool() {
    for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i)
      std::thread([this] { work(); }).detach();
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return f_ && next_ < count_ && !error_; });
      const std::int64_t begin = next_, size = std::max<std::int64_t>(1, (count_ - begin) / 16);
      const auto& f = *f_;
      next_ += size;
      ++busy_;
      lock.unlock();
      std::exception_ptr error;
      try {
        for (std::int64_t i = begin; i < begin + size; ++i) f(i);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error && !error_) error_ = error;
      --busy_;
      if ((next_ == count_ || error_) && busy_ == 0) done_.notify_one();
    }
  }

  std::mutex loop_, mutex_;
  std::condition_variable changed_, done_;
  const std::function<void(std::int64_t)>* f_ = nullptr;
  std::int64_t next_ = 0, count_ = 0;
  int busy_ = 0;
  std::exception_ptr error_;
};

}  // namespace

void run(const Kernel& kernel, dim3 blocks, dim3 threads, const void* parameters) {
  parallel_for(std::int64_t{blocks.x} * blocks.y * blocks.z,
               [&](std::int64_t block) { Block::own().run(kernel, blocks, threads, block, parameters); });
}

void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& f) {
  if (count > 0) Pool::get().run(count, f);
}

void wait_for_block(unsigned line) {
  static_cast<Block*>(place)->wait_for_block(line);
}
std::uint64_t exchange(unsigned mask, std::uint64_t bits, unsigned lane, unsigned line) {
  return static_cast<Block*>(place)->exchange(mask, bits, lane, line);
}
unsigned own_lane() {
  return static_cast<Block*>(place)->own_lane();
}

}  // namespace emulator
