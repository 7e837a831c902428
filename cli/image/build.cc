// SPDX-License-Identifier: Apache-2.0
#include "cli/image/build.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/failure.h"
#include "cli/image/isolated.h"
#include "cli/image/recipe.h"
#include "cli/image/store.h"
#include "cli/image/tree.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/units.h"
#include "sandbox/sys/error.h"

namespace hearth::cli {
namespace {

constexpr size_t kLogLinesKept = 20;
constexpr std::chrono::seconds kSizeInterval{2};

// What no function reads. Emptied, not removed: some programs expect the folders.
constexpr std::array kEmptied{"dev",
                              "proc",
                              "sys",
                              "run",
                              "tmp",
                              "var/tmp",
                              "var/log",
                              "var/cache/apt",
                              "var/lib/apt",
                              "var/cache/debconf",
                              "var/mail",
                              "usr/share/doc",
                              "usr/share/man",
                              "usr/share/info",
                              "usr/share/locale",
                              "usr/share/lintian"};
// Where the sandbox mounts: its own things, the function's code, the runtime's programs.
constexpr std::array kMountPoints{"proc", "dev", "tmp", "var", "var/task", "var/runtime"};

struct File {
  const char* path;
  const char* text;
};
// The accounts that exist inside: the numbers are those of the sandbox, whatever the packages made.
constexpr std::array kFiles{
    File{"etc/passwd",
         "root:x:0:0:root:/root:/bin/sh\n"
         "function:x:1000:1000:function:/tmp:/bin/sh\n"
         "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    File{"etc/group", "root:x:0:\nfunction:x:1000:\nnogroup:x:65534:\n"},
    File{"etc/hostname", "hearth\n"},
    File{"etc/hosts", "127.0.0.1 localhost hearth\n::1 localhost hearth\n"},
    File{"etc/resolv.conf", ""},
    File{"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"},
};
constexpr std::array kRemoved{"etc/shadow",  "etc/shadow-", "etc/gshadow", "etc/gshadow-",
                              "etc/passwd-", "etc/group-",  "etc/subuid",  "etc/subgid",
                              "etc/subuid-", "etc/subgid-", "etc/fstab",   "etc/mtab",
                              "etc/apt"};

// The partial folder for as long as the image is not complete.
class Partial {
 public:
  Partial(ImageStore& store, std::string name)
      : store_(store), name_(std::move(name)), folder_(store_.make_partial(name_)) {}
  Partial(const Partial&) = delete;
  Partial& operator=(const Partial&) = delete;
  ~Partial() {
    if (published_) return;
    try {
      store_.remove_partial(name_);
    } catch (const std::exception& error) {
      note(fmt::format("warning: part of the image is left: {}", error.what()));
    }
  }

  int folder() const { return folder_.get(); }
  void publish() {
    sys::check(::fchmod(folder_.get(), 0755), "chmod", name_);
    // What has its name is whole, also after a loss of power.
    sys::check(::syncfs(folder_.get()), "syncfs", name_);
    store_.publish(name_);
    published_ = true;
  }

 private:
  ImageStore& store_;
  std::string name_;
  sys::Fd folder_;
  bool published_ = false;
};

sys::Fd open_folder(int root, const std::string& path) {
  return sys::Fd(::openat(root, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// A folder below `root` for a path that may hold links of the image: they must not lead out of it,
// so none is followed.
sys::Fd open_below(int root, const std::string& path) {
  sys::Fd at(sys::check(::openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path));
  size_t start = 0;
  while (at && start < path.size()) {
    size_t end = std::min(path.find('/', start), path.size());
    at = open_folder(at.get(), path.substr(start, end - start));
    start = end + 1;
  }
  return at;
}

struct Place {
  sys::Fd folder;
  std::string name;
};
Place place_of(int root, const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {open_below(root, ""), path};
  return {open_below(root, path.substr(0, slash)), path.substr(slash + 1)};
}

void write_file(int root, const File& file) {
  Place place = place_of(root, file.path);
  if (!place.folder) throw sys::Error("open the folder of", file.path, errno);
  remove_tree(place.folder.get(), place.name);
  int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  sys::Fd fd(sys::check(::openat(place.folder.get(), place.name.c_str(), flags, 0644), "create",
                        file.path));
  sys::check(::fchmod(fd.get(), 0644), "chmod", file.path);
  std::string_view text = file.text;
  ssize_t n = sys::check(::write(fd.get(), text.data(), text.size()), "write", file.path);
  if (static_cast<size_t>(n) != text.size()) throw sys::Error("write", file.path, ENOSPC);
}

void make_mount_point(int root, const std::string& path) {
  Place place = place_of(root, path);
  if (!place.folder) throw sys::Error("open the folder of", path, errno);
  sys::Fd there = open_folder(place.folder.get(), place.name);
  if (!there) {
    remove_tree(place.folder.get(), place.name);  // a file or a link
    sys::check(::mkdirat(place.folder.get(), place.name.c_str(), 0755), "mkdir", path);
    there = open_folder(place.folder.get(), place.name);
  }
  sys::check(::fchmod(sys::check(there.get(), "open", path), 0755), "chmod", path);
}

// The stages as they come, with the time since the start and the size so far.
class Stages {
 public:
  explicit Stages(int folder) : folder_(folder) {}

  void begin(const std::string& stage) {
    stage_ = stage;
    progress_.clear();
    note(line());
  }
  void tick() {
    auto now = std::chrono::steady_clock::now();
    if (now < next_size_) return;
    next_size_ = now + kSizeInterval;
    bytes_ = tree_bytes(folder_);
    progress_.show(line());
  }
  uint64_t seconds() const { return static_cast<uint64_t>(progress_.elapsed().count()); }
  void end() { progress_.clear(); }

 private:
  std::string line() const {
    return fmt::format("[{:>4} s] {:>9}  {}", seconds(), human_bytes(bytes_), stage_);
  }

  int folder_;
  Progress progress_{std::chrono::milliseconds(0)};
  std::chrono::steady_clock::time_point next_size_;
  std::string stage_;
  uint64_t bytes_ = 0;
};

// Runs one program on the partial folder; when it fails, the end of what it said goes with the
// failure.
void run_step(const std::vector<std::string>& argv, int folder, Stages& stages) {
  std::deque<std::string> last;
  std::string cause;  // the first error of mmdebstrap and apt is the telling one
  Isolated program;
  program.argv = argv;
  program.work = folder;
  program.on_line = [&](std::string_view line) {
    if (line.starts_with("I: ") && cause.empty()) stages.begin(std::string(line.substr(3)));
    if (line.starts_with("E: ") && cause.empty()) cause = line.substr(3);
    last.emplace_back(line.substr(0, 400));
    if (last.size() > kLogLinesKept) last.pop_front();
  };
  program.on_tick = [&] { stages.tick(); };
  try {
    run_isolated(program);
  } catch (const Failure& failure) {
    stages.end();
    stop_if_asked();
    std::string why = cause.empty() ? std::string(failure.what()) : argv[0] + ": " + cause;
    throw Failure(failure.status(), why + "; the end of its log follows",
                  fmt::format("{}", fmt::join(last, "\n")));
  }
}

void need_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::stringstream folders(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (::access((folder + "/" + name).c_str(), X_OK) == 0) return;
  throw Failure(Status::kRefused,
                fmt::format("{} is not installed; 'apt-get install {}' brings it", name, name));
}

std::vector<std::string> all_packages(const Recipe& recipe, const ImageOrder& order) {
  std::vector<std::string> packages = recipe.packages;
  for (const std::string& name : order.packages)
    if (std::find(packages.begin(), packages.end(), name) == packages.end())
      packages.push_back(name);
  return packages;
}

void bootstrap(const Recipe& recipe, const ImageOrder& order, int folder, Stages& stages) {
  std::vector<std::string> argv{
      "mmdebstrap", "--mode=root", "--variant=" + recipe.variant,
      // Only root may enter the folder while the image is made.
      "--aptopt=APT::Sandbox::User \"root\"", "--dpkgopt=path-exclude=/usr/share/doc/*",
      "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/info/*",
      "--dpkgopt=path-exclude=/usr/share/locale/*",
      // The image is synced once, when it is whole.
      "--dpkgopt=force-unsafe-io"};
  std::string packages = fmt::format("{}", fmt::join(all_packages(recipe, order), ","));
  if (!packages.empty()) argv.push_back("--include=" + packages);
  argv.push_back("--");
  argv.push_back(order.suite);
  argv.push_back(fmt::format("{}/rootfs", kIsolatedWork));
  if (!order.mirror.empty()) argv.push_back(order.mirror);
  stages.begin(fmt::format("mmdebstrap {} ({}): {}", order.suite, recipe.variant, packages));
  run_step(argv, folder, stages);
  if (recipe.run.empty()) return;
  stages.begin(fmt::format("{}", fmt::join(recipe.run, " ")));
  std::vector<std::string> inside{"chroot", fmt::format("{}/rootfs", kIsolatedWork)};
  inside.insert(inside.end(), recipe.run.begin(), recipe.run.end());
  run_step(inside, folder, stages);
}

// From here on nothing in the image can give a function more rights than it has.
Cleaned harden(int rootfs, const Recipe& recipe) {
  for (const char* path : kEmptied)
    if (sys::Fd folder = open_below(rootfs, path)) empty_tree(folder.get(), path);
  std::vector<std::string> removed(kRemoved.begin(), kRemoved.end());
  removed.insert(removed.end(), recipe.remove.begin(), recipe.remove.end());
  for (const std::string& path : removed) {
    Place place = place_of(rootfs, path);
    if (place.folder) remove_tree(place.folder.get(), place.name);
  }
  for (const char* path : kMountPoints) make_mount_point(rootfs, path);
  for (const File& file : kFiles) write_file(rootfs, file);
  sys::check(::fchmod(rootfs, 0755), "chmod", "rootfs");
  return clean_tree(rootfs);
}

std::string describe(const Recipe& recipe, const ImageOrder& order, uint64_t bytes) {
  Json image{
      {"name", order.name},
      {"recipe", recipe.name},
      {"packages", all_packages(recipe, order)},
      {"suite", order.suite},
      {"created_at", fmt::format("{:%Y-%m-%dT%H:%M:%S}.000000Z", fmt::gmtime(::time(nullptr)))},
      {"bytes", bytes},
      {"runtimes", recipe.runtimes}};
  return image.dump();
}

}  // namespace

BuiltImage build_image(const ImageOrder& order, const std::string& state_dir) {
  check_image_name(order.name);
  Recipe recipe = load_recipe(order.recipe);
  ImageStore store(state_dir);
  if (store.exists(order.name)) {
    throw Failure(
        Status::kRefused,
        fmt::format("the image '{}' exists; delete it first ('hearth image delete {}') or "
                    "choose another name",
                    order.name, order.name));
  }
  need_program("mmdebstrap");
  catch_stop_signals();
  Partial partial(store, order.name);
  Stages stages(partial.folder());
  bootstrap(recipe, order, partial.folder(), stages);
  stop_if_asked();
  stages.begin("taking out what a function must not find");
  sys::Fd rootfs = open_folder(partial.folder(), "rootfs");
  Cleaned cleaned = harden(sys::check(rootfs.get(), "open", "rootfs"), recipe);
  BuiltImage built{describe(recipe, order, cleaned.bytes), cleaned.bytes, cleaned.removed,
                   cleaned.changed, 0};
  std::string line = built.json + "\n";
  write_file(partial.folder(), File{"image.json", line.c_str()});
  stop_if_asked();
  partial.publish();
  stages.end();
  built.seconds = stages.seconds();
  return built;
}

}  // namespace hearth::cli
