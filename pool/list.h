// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <cstdint>

namespace hearth::pool {

template <typename T>
struct Link {
  T* prev = nullptr;
  T* next = nullptr;
  bool linked = false;
};

// A first-in first-out list through a member of its elements: taking any element out costs the
// same as taking the first, and nothing is allocated. It owns nothing; an element leaves the list
// before it dies.
template <typename T, Link<T> T::*kLink>
class List {
 public:
  List() = default;
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  bool empty() const { return size_ == 0; }
  uint32_t size() const { return size_; }
  T* front() const { return front_; }
  T* back() const { return back_; }
  static T* after(const T& element) { return (element.*kLink).next; }

  void push_back(T& element) {
    Link<T>& link = element.*kLink;
    assert(!link.linked);
    link = {back_, nullptr, true};
    (back_ ? (back_->*kLink).next : front_) = &element;
    back_ = &element;
    ++size_;
  }

  // Nothing happens if the element is in no list.
  void remove(T& element) {
    Link<T>& link = element.*kLink;
    if (!link.linked) return;
    (link.prev ? (link.prev->*kLink).next : front_) = link.next;
    (link.next ? (link.next->*kLink).prev : back_) = link.prev;
    link = {};
    --size_;
  }

 private:
  T* front_ = nullptr;
  T* back_ = nullptr;
  uint32_t size_ = 0;
};

}  // namespace hearth::pool
