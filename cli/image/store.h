// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "sandbox/sys/fd.h"

namespace hearth::cli {

// STATE/images: a folder per image, and folders with a dot in front that are being made or removed.
// Root works here while the unprivileged hearthd may own the folders above: so only by descriptors
// and without links.
class ImageStore {
 public:
  explicit ImageStore(
      const std::string& state_dir);  // makes `images`; removes what dead processes left

  bool exists(const std::string& name) const;
  // An empty folder that only root can enter, named for this process; `publish` or `remove` ends
  // it.
  sys::Fd make_partial(const std::string& name);
  void publish(
      const std::string& name);  // the partial folder becomes the image; throws if it exists
  void remove_partial(const std::string& name);
  void remove(
      const std::string& name);  // the image goes in one step, then its files; throws if it is none

 private:
  std::string partial(const std::string& name) const;
  void remove_leftovers();

  std::string path_;
  sys::Fd folder_;
};

// [a-z0-9-]{1,63}, and not `host`, which is this host's own /usr. Throws Failure.
void check_image_name(const std::string& name);

}  // namespace hearth::cli
