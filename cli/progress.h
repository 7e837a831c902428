// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

namespace hearth::cli {

// One line on stderr that is written over again and again. On a terminal only, and only for what
// takes longer than `quiet`. Destruction clears the line.
class Progress {
 public:
  explicit Progress(std::chrono::milliseconds quiet = std::chrono::seconds(2));
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void show(const std::string& text);  // at most ten times a second
  void clear();
  std::chrono::seconds elapsed() const;

 private:
  std::chrono::steady_clock::time_point start_, next_;
  bool terminal_;
  bool shown_ = false;
};

}  // namespace hearth::cli
