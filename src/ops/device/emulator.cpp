// Runs kernels on the host, a block at a time: every thread of it is a fiber with a stack of its own.
#include "kernel.cuh"

#include "faulty.cuh"

#include <ucontext.h>

#include <cstdio>
#include <memory>

namespace emulator {

thread_local Context context;

std::map<std::string, Kernel>& kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}

namespace {

constexpr size_t STACK = 256 << 10;

enum State { READY, AT_BLOCK, AT_WARP, DONE };

struct Fiber {
  ucontext_t start;
  jmp_buf at;
  bool started = false;
  // Not cleared, so that a page never touched costs nothing.
  std::unique_ptr<char[]> stack{new char[STACK]};
};

struct Block {
  std::vector<State> states;
  std::vector<Fiber*> fibers;
  std::vector<uint64_t> exchange;
  std::vector<std::unique_ptr<Fiber>> pool;
  std::vector<Fiber*> idle;
  std::vector<char> shared;
  const Kernel* kernel = nullptr;
  const void* const* values = nullptr;
  unsigned current = 0;
  jmp_buf scheduler;
};
thread_local Block block;

// Back to the scheduler, until it comes here again.
void yield() {
  Fiber* fiber = block.fibers[block.current];
  if (_setjmp(fiber->at) == 0) _longjmp(block.scheduler, 1);
}

// What a fiber does: threads, one after the other.
void live() {
  for (;;) {
    block.kernel->run(block.values);
    block.states[block.current] = DONE;
    yield();
  }
}

void resume(unsigned thread) {
  block.current = thread;
  context.thread = {thread, 0, 0};
  Fiber*& fiber = block.fibers[thread];
  if (!fiber) {
    if (block.idle.empty()) {
      block.pool.push_back(std::make_unique<Fiber>());
      block.idle.push_back(block.pool.back().get());
    }
    fiber = block.idle.back();
    block.idle.pop_back();
  }
  if (_setjmp(block.scheduler) == 0) {
    Fiber* next = block.fibers[block.current];
    if (next->started) _longjmp(next->at, 1);
    next->started = true;
    getcontext(&next->start);
    next->start.uc_stack.ss_sp = next->stack.get();
    next->start.uc_stack.ss_size = STACK;
    next->start.uc_link = nullptr;
    makecontext(&next->start, live, 0);
    setcontext(&next->start);
  }
  if (block.states[block.current] == DONE) {
    block.idle.push_back(block.fibers[block.current]);
    block.fibers[block.current] = nullptr;
  }
}

// Lets the threads of [begin, end) go on if all that are not done wait at `at`.
bool release(unsigned begin, unsigned end, State at) {
  bool any = false;
  for (unsigned thread = begin; thread < end; ++thread) {
    if (block.states[thread] != DONE && block.states[thread] != at) return false;
    any |= block.states[thread] == at;
  }
  for (unsigned thread = begin; thread < end; ++thread)
    if (block.states[thread] == at) block.states[thread] = READY;
  return any;
}

bool all_done() {
  for (State state : block.states)
    if (state != DONE) return false;
  return true;
}

std::vector<unsigned> ordered(unsigned threads, unsigned order) {
  std::vector<unsigned> result(threads);
  for (unsigned i = 0; i < threads; ++i) {
    if (order == 0) result[i] = i;
    if (order == 1) result[i] = threads - 1 - i;
  }
  if (order == 2) {
    // A step without a common divisor with the number of threads reaches them all.
    unsigned step = threads / 2 + 1;
    auto divisor = [](unsigned a, unsigned b) { while (b) { unsigned rest = a % b; a = b; b = rest; } return a; };
    while (divisor(step, threads) != 1) ++step;
    for (unsigned i = 0, at = threads / 3; i < threads; ++i, at = (at + step) % threads) result[i] = at;
  }
  return result;
}

bool run_block(const std::vector<unsigned>& order) {
  unsigned threads = (unsigned)order.size();
  block.states.assign(threads, READY);
  block.fibers.assign(threads, nullptr);
  block.exchange.assign(threads, ~uint64_t(0));
  // Poison: what one block left must not be found by the next.
  std::fill(block.shared.begin(), block.shared.end(), (char)0xff);
  while (!all_done()) {
    for (unsigned thread : order)
      if (block.states[thread] == READY) resume(thread);
    bool released = release(0, threads, AT_BLOCK);
    for (unsigned warp = 0; warp < threads; warp += 32)
      released |= release(warp, std::min(warp + 32, threads), AT_WARP);
    if (!released && !all_done()) return false;
  }
  return true;
}

}  // namespace

void wait_for_block() { block.states[block.current] = AT_BLOCK; yield(); }
void wait_for_warp() { block.states[block.current] = AT_WARP; yield(); }
void* dynamic_shared() { return block.shared.data(); }
uint64_t* exchange() { return block.exchange.data(); }
bool is_running(unsigned thread) { return block.states[thread] != DONE; }

}  // namespace emulator

extern "C" int wsss_emulate(const char* name, const uint32_t* blocks, uint32_t threads, uint32_t shared, uint32_t order,
                            const void* const* values, const uint32_t* sizes, uint32_t count, char* message,
                            uint32_t message_len) {
  using namespace emulator;
  auto found = kernels().find(name);
  if (found == kernels().end()) {
    std::snprintf(message, message_len, "there is no such kernel");
    return 1;
  }
  const Kernel& kernel = found->second;
  if (kernel.sizes.size() != count) {
    std::snprintf(message, message_len, "%u arguments for %zu parameters", count, kernel.sizes.size());
    return 1;
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (kernel.sizes[i] != sizes[i]) {
      std::snprintf(message, message_len, "argument %u has %u bytes, the parameter %u", i, sizes[i], kernel.sizes[i]);
      return 1;
    }
  }
  block.kernel = &kernel;
  block.values = values;
  block.shared.assign(shared + 16, 0);
  context.block_size = {threads, 1, 1};
  context.grid = {blocks[0], blocks[1], blocks[2]};
  std::vector<unsigned> threads_in_order = ordered(threads, order);
  for (unsigned z = 0; z < blocks[2]; ++z)
    for (unsigned y = 0; y < blocks[1]; ++y)
      for (unsigned x = 0; x < blocks[0]; ++x) {
        context.block = {x, y, z};
        if (!run_block(threads_in_order)) {
          std::snprintf(message, message_len, "threads of a block wait for each other at different barriers");
          // Their stacks are left as they are, and never used again.
          for (auto& fiber : block.pool) fiber.release();
          block.pool.clear();
          block.idle.clear();
          return 1;
        }
      }
  return 0;
}
