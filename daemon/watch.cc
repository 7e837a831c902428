// SPDX-License-Identifier: Apache-2.0
#include "daemon/watch.h"

#include "daemon/counters.h"
#include "daemon/loop/sleep.h"

namespace hearth::daemon {
namespace {

constexpr std::chrono::milliseconds kPeriod(10);

void check_cpu(Worker& worker) {
  const Budget& budget = worker.budget();
  CpuCounters cpu = read_cpu(worker.descriptors());
  worker.saw_cpu(cpu);
  if (budget.cpu_us == 0) return;
  if (cpu.user_us + cpu.system_us - worker.cpu_base_us() > budget.cpu_us)
    worker.end_call(End::kCpuExceeded);
}

// The kernel refused a process, which a program may take for a passing trouble and try for ever.
void check_refusals(Worker& worker) {
  if (worker.ran_out_of_processes()) worker.end_call(End::kProcessesExceeded);
}

void check_memory_and_processes(Worker& worker) {
  const Budget& budget = worker.budget();
  int procs = worker.descriptors().cgroup_procs.get();
  // PID 1 is ours. RLIMIT_NPROC lies one above the budget, so what goes beyond it can be seen.
  if (count_processes(procs) > budget.processes + 1)
    return worker.end_call(End::kProcessesExceeded);
  uint64_t bytes = sum_anonymous_memory(procs);
  worker.saw_memory(bytes);
  if (bytes > budget.memory_bytes) worker.end_call(End::kMemoryExceeded);
}

}  // namespace

loop::Task<void> watch_budgets(loop::Loop& loop, Fleet& fleet, sandbox::LimitsMode mode) {
  for (;;) {
    co_await fleet.some_call();  // an idle host is not woken
    co_await loop::Sleep(loop, kPeriod);
    fleet.for_each_calling([mode](Worker& worker) {
      worker.watch_logs();
      check_cpu(worker);
      check_refusals(worker);
      if (mode == sandbox::LimitsMode::kBestEffort) check_memory_and_processes(worker);
    });
  }
}

}  // namespace hearth::daemon
