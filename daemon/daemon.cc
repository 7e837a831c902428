// SPDX-License-Identifier: Apache-2.0
#include "daemon/daemon.h"

#include <fmt/format.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include <cstdlib>

#include "daemon/api/api.h"
#include "daemon/build_info.h"
#include "daemon/counters.h"
#include "daemon/deploy.h"
#include "daemon/fleet.h"
#include "daemon/free_memory.h"
#include "daemon/http/server.h"
#include "daemon/journal.h"
#include "daemon/loop/deadline.h"
#include "daemon/loop/on_signal.h"
#include "daemon/watch.h"
#include "sandbox/sys/error.h"
#include "sandbox/sys/log.h"

namespace hearth::daemon {
using loop::Task;
namespace {

ledger::Ledger::Options ledger_options(const Config& config) {
  ledger::Ledger::Options options;
  options.database_path = config.state_dir + "/ledger.db";
  options.table_path = config.state_dir + "/inflight";
  options.durability = config.ledger.durability;
  options.slots = config.ledger.slots;
  options.keep_days = config.ledger.keep_days;
  return options;
}

ledger::LogStore::Options log_options(const Config& config) {
  ledger::LogStore::Options options;
  options.dir = config.state_dir + "/logs";
  options.file_bytes_max = uint64_t{config.logs.file_mb_max} << 20;
  options.files_max = config.logs.files_max;
  options.call_bytes_max = uint64_t{config.logs.call_kb_max} << 10;
  return options;
}

FleetOptions fleet_options(const Config& config) {
  FleetOptions options;
  options.pool = config.pool;
  options.limits_max = limits_max_of(config);
  options.default_image = config.default_image;
  options.load_limit = std::chrono::milliseconds(config.deploy.load_timeout_ms);
  options.zygote_calls_max = config.sandbox.zygote_calls_max;
  options.zygote_age_max = std::chrono::minutes(config.sandbox.zygote_minutes_max);
  options.zygote_growth_max = uint64_t{config.sandbox.zygote_growth_mb_max} << 20;
  return options;
}

DeployOptions deploy_options(const Config& config) {
  return {config.state_dir, config.default_image, config.host_image, config.deploy.bundle,
          config.sandbox.manifest};
}

ApiOptions api_options(const Config& config, const Identity& identity) {
  ApiOptions options;
  options.state_dir = config.state_dir;
  options.version = kVersion;
  options.admin_gid = identity.admin_gid;
  options.pool_memory_bytes = config.pool.memory_bytes_max;
  return options;
}

// What the cgroup of a call that was running when hearthd died still tells, if it is still there:
// systemd removes those of a service that died.
void read_leftover(ledger::Record& record, const std::string& cgroup_base) {
  std::string tenant = fmt::format("{}/tenants/{}", cgroup_base, record.tenant);
  CpuCounters cpu;
  for (const std::string& path :
       {fmt::format("{}/functions/{}/s-{}", tenant, record.function, record.sandbox),
        fmt::format("{}/generic/s-{}", tenant, record.sandbox)}) {
    CpuCounters found = read_cpu_at(path);
    if (found.user_us + found.system_us != 0) cpu = found;
  }
  if (cpu.user_us > record.cpu_user_base_us)
    record.cpu_user_us = cpu.user_us - record.cpu_user_base_us;
  if (cpu.system_us > record.cpu_system_base_us)
    record.cpu_system_us = cpu.system_us - record.cpu_system_base_us;
  record.run_us = record.cpu_user_us + record.cpu_system_us;
  record.total_us = record.queue_us + record.init_us + record.run_us;
  bill(record);
}

// As a call with a client, which is answered 500 then, it is not the end of the daemon.
void log_failed_call(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    sys::log::error("a call whose client was gone failed", {{"error", e.what()}});
  }
}

// The whole daemon; members are torn down in reverse order.
class Daemon {
 public:
  Daemon(const Options& options, const Identity& identity, sandbox::SpawnerClient& spawner,
         const std::string& cgroup_base, const sandbox::Disks& disks)
      : config_(options.config),
        cgroup_base_(cgroup_base),
        registry_(config_.state_dir + "/hearth.db"),
        ledger_(ledger_options(config_)),
        logs_(log_options(config_)),
        spawner_client_(spawner),
        spawner_(loop_, spawner, [this] { spawner_lost(); }),
        fleet_(loop_, spawner_, logs_, fleet_options(config_)),
        services_{loop_,
                  registry_,
                  fleet_,
                  ledger_,
                  logs_,
                  metrics_,
                  unattended_,
                  config_.limits,
                  disks,
                  config_.ledger.durability,
                  uint64_t{config_.logs.call_kb_kill} << 10,
                  false},
        unattended_(loop_, log_failed_call),
        deployer_(services_, deploy_options(config_)),
        api_(services_, deployer_, api_options(config_, identity),
             [this]() -> const http::Counters& { return server_.counters(); }),
        server_(
            loop_, config_.http, [this](http::Request& request) { return api_.handle(request); },
            [this](const http::Request& request, http::Admission& admission) {
              admit(request, admission);
            }),
        ledger_poll_(loop_, ledger_.notify_fd()),
        terminate_(loop_, SIGTERM, [this] { stop(); }),
        interrupt_(loop_, SIGINT, [this] { stop(); }),
        tasks_(loop_, [this](std::exception_ptr error) { task_failed(error); }) {
    recover(spawner, cgroup_base);
  }

  int run(Listeners listeners) {
    ledger_poll_.on_readable([this] { ledger_.poll(); });
    tasks_.add(watch_budgets(loop_, fleet_, config_.limits));
    tasks_.add(watch_ledger());
    tasks_.add(give_memory_back());
    for (const registry::Tenant& tenant : registry_.tenants())
      fleet_.set_tenant(tenant.name, tenant.concurrency_max);
    for (const auto& version : registry_.live()) fleet_.add_function(version);
    for (size_t i = 0; i < listeners.sockets.size(); ++i) {
      server_.adopt_listener(std::move(listeners.sockets[i]));
      sys::log::info("listening", {{"address", listeners.names[i]}});
    }
    bool strict = config_.limits == sandbox::LimitsMode::kStrict;
    sys::log::info("ready", {{"version", kVersion},
                             {"limits", strict ? "strict" : "best-effort"},
                             {"functions", registry_.live().size()},
                             {"state", config_.state_dir},
                             {"cgroup", cgroup_base_}});
    ::sd_notifyf(0, "READY=1\nSTATUS=%zu functions, limits %s", registry_.live().size(),
                 strict ? "strict" : "best-effort");
    loop_.run();
    return exit_status_;
  }

 private:
  // Archives are larger than calls may be, and go to a file.
  void admit(const http::Request& request, http::Admission& admission) {
    if (!request.peer.unix || request.method != "POST" || !request.path.ends_with("/functions"))
      return;
    admission.body_bytes_max = uint64_t{config_.deploy.upload_mb_max} << 20;
    admission.body_directory = config_.state_dir + "/uploads";
  }

  void recover(sandbox::SpawnerClient& spawner, const std::string& cgroup_base) {
    size_t interrupted =
        ledger_.recover([&](ledger::Record& record) { read_leftover(record, cgroup_base); });
    if (interrupted != 0) {
      sys::log::warning("calls interrupted by the last stop were recorded",
                        {{"calls", interrupted}});
    }
    if (size_t damaged = ledger_.found().damaged; damaged != 0) {
      sys::log::error("damaged slots of the in-flight table were set aside in inflight.damaged",
                      {{"slots", damaged}});
    }
    spawner.purge(kPurgeRequest);
    deployer_.clean_up();
    ledger_.start();
    loop_.make_threads();
  }

  Task<void> give_memory_back() {
    for (FreeMemory memory;; memory.give_back())
      co_await loop::Sleep(loop_, std::chrono::seconds(1));
  }

  // Says when the ledger stops taking records, and when it goes on.
  Task<void> watch_ledger() {
    for (bool healthy = true;; healthy = ledger_.healthy()) {
      co_await loop::Sleep(loop_, std::chrono::seconds(1));
      if (healthy == ledger_.healthy()) continue;
      if (healthy) {
        sys::log::error("the ledger takes no records, so calls are refused",
                        {{"error", ledger_.error()}});
      } else {
        sys::log::info("the ledger takes records again");
      }
    }
  }

  // First signal: no new connections, answer who has one. Second: kill what runs.
  void stop() {
    if (server_.draining()) {
      sys::log::warning("stopping at once");
      fleet_.drain();
      return finish(EXIT_SUCCESS);
    }
    ::sd_notify(0, "STOPPING=1");
    sys::log::info("stopping: calls in flight finish", {{"running", fleet_.counts().running}});
    tasks_.add(drain());
  }

  Task<void> drain() {
    auto limit = std::chrono::milliseconds(config_.drain_ms_max);
    bool done = (co_await loop::with_deadline(loop_, all_finished(), limit)).has_value();
    if (!done) {
      sys::log::warning("calls or connections were left at the end of the drain and were killed",
                        {{"drain_ms_max", config_.drain_ms_max}});
      fleet_.drain();  // starts nothing for the places that they leave
    }
    // The cgroups of tenants and functions are empty now. After a kill they stay for recover(),
    // which reads the counters in them.
    if (done) spawner_client_.purge(kPurgeRequest);
    finish(EXIT_SUCCESS);
  }

  // Who connected before this has asked, or is about to, and gets what he asked for. Later ones
  // wait in the listening socket, if it is systemd's, for the next hearthd. The fleet serves until
  // the last of them is answered: no moment in between could tell that none is still on its way.
  Task<void> all_finished() {
    server_.begin_drain();
    services_.draining = true;
    for (auto waited = kPeriod; server_.expects_requests() && waited <= kArrivalMax;
         waited += kPeriod)
      co_await loop::Sleep(loop_, kPeriod);
    server_.close_silent();
    co_await server_.drained();
    fleet_.drain();
    co_await fleet_.drained();
  }

  void spawner_lost() {
    sys::log::error(
        "hearth-spawner is gone, so every sandbox is too; a restart recovers the records");
    finish(EXIT_FAILURE);
  }

  // One of the daemon's own tasks met an error of the host: going on without it would be a lie.
  void task_failed(std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      sys::log::error("hearthd cannot go on", {{"error", e.what()}});
    }
    finish(EXIT_FAILURE);
  }

  void finish(int status) {
    exit_status_ = status;
    loop_.stop();
  }

  // How long the request of a client that has connected may take to arrive once a stop began.
  static constexpr std::chrono::milliseconds kArrivalMax{1000}, kPeriod{20};
  static constexpr uint64_t kPurgeRequest = ~uint64_t{0};

  Config config_;
  std::string cgroup_base_;
  int exit_status_ = EXIT_SUCCESS;
  loop::Loop loop_;
  registry::Registry registry_;
  ledger::Ledger ledger_;
  ledger::LogStore logs_;
  Metrics metrics_;
  sandbox::SpawnerClient& spawner_client_;
  Spawner spawner_;
  Fleet fleet_;
  Services services_;
  loop::TaskSet unattended_;
  Deployer deployer_;
  Api api_;
  http::Server server_;
  loop::Poll ledger_poll_;
  loop::OnSignal terminate_, interrupt_;
  loop::TaskSet tasks_;
};

}  // namespace

void set_up_log(const Config& config) {
  sys::log::set_level(config.log_level);
  if (journal::is_stderr()) sys::log::set_sink(journal::write);
}

int serve(const Options& options, const Identity& identity, sandbox::SpawnerClient& spawner,
          const std::string& cgroup_base, const sandbox::Disks& disks, Listeners listeners) {
  ::signal(SIGPIPE, SIG_IGN);
  Daemon daemon(options, identity, spawner, cgroup_base, disks);
  return daemon.run(std::move(listeners));
}

}  // namespace hearth::daemon
