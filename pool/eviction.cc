// SPDX-License-Identifier: Apache-2.0
#include "pool/eviction.h"

#include <algorithm>

namespace hearth::pool {

double EvictionOrder::worth(double calls_lately, Duration start_cost, uint64_t memory_bytes) const {
  const double mebibytes = std::max(1.0, static_cast<double>(memory_bytes) / (1 << 20));
  return clock_ + calls_lately * static_cast<double>(start_cost.count()) / mebibytes;
}

void EvictionOrder::update(Shelf& shelf) {
  if (shelf.idle.empty()) return remove(shelf);
  const int rank = shelf.generics ? 0 : shelf.idle.size() > shelf.kept ? 1 : 2;
  const Shelf::Place place{rank, shelf.idle.front()->worth, shelf.id};
  if (shelf.place == place) return;
  if (!shelf.place) {
    shelves_.emplace(place, &shelf);
  } else {
    auto node = shelves_.extract(*shelf.place);
    node.key() = place;
    shelves_.insert(std::move(node));
  }
  shelf.place = place;
}

void EvictionOrder::remove(Shelf& shelf) {
  if (!shelf.place) return;
  shelves_.erase(*shelf.place);
  shelf.place.reset();
}

Sandbox* EvictionOrder::first(const Shelf* spared) const {
  auto it = shelves_.begin();
  if (it != shelves_.end() && it->second == spared) ++it;
  return it == shelves_.end() ? nullptr : it->second->idle.front();
}

void EvictionOrder::evicted(const Sandbox& sandbox) {
  clock_ = std::max(clock_, sandbox.worth);
}

}  // namespace hearth::pool
