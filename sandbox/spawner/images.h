// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <list>
#include <string>

#include "sandbox/sys/fd.h"

// The images that sandboxes start from, each assembled once on the stage (stage.h) and copied by
// every sandbox: root, /dev and /var/runtime in one call.
namespace hearth::sandbox::spawner {

class Images {
 public:
  explicit Images(bool host_image);  // on the stage; throws sys::Error

  // Where image `name` (a valid name) is assembled. Assembles it again if STATE/images/NAME/rootfs
  // was replaced since. Throws sys::Error: no such image, a mount point is missing in it, …
  const char* path_of(const std::string& name);

  // STATE/bundles/HASH as a read-only mount to be attached at /var/task.
  sys::Fd bundle(const std::string& hash) const;

 private:
  struct Assembled {
    std::string name, path;
    dev_t device;
    ino_t inode;
  };
  void assemble(const std::string& name, int rootfs, const std::string& path) const;
  void drop(std::list<Assembled>::iterator image);

  bool host_image_;
  sys::Fd state_;
  std::list<Assembled> assembled_;  // latest used first
};

}  // namespace hearth::sandbox::spawner
