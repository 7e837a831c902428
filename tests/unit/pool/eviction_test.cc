// SPDX-License-Identifier: Apache-2.0
#include "pool/eviction.h"

#include <gtest/gtest.h>

namespace hearth::pool {
namespace {

struct Stock {
  explicit Stock(uint64_t id, double worth, Generics* generics = nullptr) {
    shelf.id = id;
    shelf.generics = generics;
    sandbox.worth = worth;
    shelf.idle.push_back(sandbox);
  }
  Sandbox sandbox;
  Shelf shelf;
};

TEST(EvictionOrder, GenericBeforeFunctionsBeforeKeptOnes) {
  EvictionOrder order;
  Generics key;
  Stock generic(1, 9, &key), function(2, 5), kept(3, 1);
  kept.shelf.kept = 1;
  for (Stock* stock : {&kept, &function, &generic}) order.update(stock->shelf);
  for (Stock* stock : {&generic, &function, &kept}) {
    ASSERT_EQ(order.first(nullptr), &stock->sandbox);
    stock->shelf.idle.remove(stock->sandbox);
    order.update(stock->shelf);
  }
  EXPECT_EQ(order.first(nullptr), nullptr);
}

TEST(EvictionOrder, TheLeastWorthFirstButNotTheSparedOne) {
  EvictionOrder order;
  Stock low(1, 1), high(2, 2);
  order.update(high.shelf);
  order.update(low.shelf);
  EXPECT_EQ(order.first(nullptr), &low.sandbox);
  EXPECT_EQ(order.first(&low.shelf), &high.sandbox);
  EXPECT_EQ(order.first(&high.shelf), &low.sandbox);
}

TEST(EvictionOrder, WorthGrowsWithUseAndCostAndFallsWithMemory) {
  EvictionOrder order;
  const Duration start = std::chrono::milliseconds(100);
  const double worth = order.worth(2, start, 64 << 20);
  EXPECT_DOUBLE_EQ(order.worth(4, start, 64 << 20), 2 * worth);
  EXPECT_DOUBLE_EQ(order.worth(2, 2 * start, 64 << 20), 2 * worth);
  EXPECT_DOUBLE_EQ(order.worth(2, start, 128 << 20), worth / 2);
  EXPECT_GE(order.worth(2, start, 0), worth) << "no memory is no division by zero";
}

TEST(EvictionOrder, EachEvictionLiftsWhatComesAfter) {
  EvictionOrder order;
  Stock gone(1, 7);
  EXPECT_DOUBLE_EQ(order.worth(0, Duration(1), 1), 0);
  order.evicted(gone.sandbox);
  EXPECT_DOUBLE_EQ(order.worth(0, Duration(1), 1), 7);
}

}  // namespace
}  // namespace hearth::pool
