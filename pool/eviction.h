// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "pool/entities.h"

namespace hearth::pool {

// Which idle sandbox goes first when memory is needed: greedy-dual. A sandbox that goes idle is
// worth (calls lately x cost of a start / memory) more than the clock; the clock is the worth of
// the last one evicted, so what is not used ages against what is. Generic sandboxes go before all
// others, and those that `warm_min` keeps go last.
class EvictionOrder {
 public:
  // The worth of a sandbox that goes idle now.
  double worth(double calls_lately, Duration start_cost, uint64_t memory_bytes) const;
  // The shelf's idle sandboxes or its number of kept ones changed.
  void update(Shelf& shelf);
  void remove(Shelf& shelf);
  // The sandbox to evict, none of `spared`; null if nothing idles.
  Sandbox* first(const Shelf* spared) const;
  void evicted(const Sandbox& sandbox);

 private:
  std::map<Shelf::Place, Shelf*> shelves_;
  double clock_ = 0;
};

}  // namespace hearth::pool
