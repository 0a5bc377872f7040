// A bounded ring between producers that work in any order and one consumer that takes results in order.
//
// A producer reserves a sequence number together with a slot before its work starts, so the oldest number outstanding
// always has the slot it needs: the ring cannot deadlock however few slots there are, and it can never hold more
// results than slots. Free slots are taken last in, first out, so that a consumer that keeps up leaves most of them
// untouched.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace doppel {

template <class Slot>
class OrderedRing {
 public:
  struct Ticket {
    int64_t sequence = 0;
    Slot* slot = nullptr;  // null: there is nothing left to do
  };

  // Sequence numbers are 0 .. total - 1.
  OrderedRing(int64_t total, size_t slots) : total_(total), slots_(slots), pending_(slots) {
    for (Slot& slot : slots_) free_.push_back(&slot);
  }

  // Producers: waits for a free slot. The ticket's slot is null after the last number and once the ring is closed.
  Ticket reserve() {
    std::unique_lock lock(mutex_);
    slot_freed_.wait(lock, [&] { return closed_ || reserved_ == total_ || !free_.empty(); });
    if (closed_ || reserved_ == total_) return {};
    const Ticket ticket{reserved_++, free_.back()};
    free_.pop_back();
    pending_[ticket.sequence % pending_.size()] = {ticket.slot, false};
    if (reserved_ == total_) slot_freed_.notify_all();
    return ticket;
  }
  void publish(const Ticket& ticket) {
    bool is_next;
    {
      std::lock_guard lock(mutex_);
      pending_[ticket.sequence % pending_.size()].ready = true;
      is_next = ticket.sequence == consumed_;
    }
    if (is_next) published_.notify_one();
  }

  // Consumer: waits for the next result in order; null once the ring is closed. At most one is held at a time.
  Slot* take() {
    std::unique_lock lock(mutex_);
    Pending& next = pending_[consumed_ % pending_.size()];
    published_.wait(lock, [&] { return closed_ || (consumed_ < reserved_ && next.ready); });
    return closed_ ? nullptr : next.slot;
  }
  void release() {
    {
      std::lock_guard lock(mutex_);
      Pending& taken = pending_[consumed_++ % pending_.size()];
      taken.ready = false;
      free_.push_back(taken.slot);
    }
    slot_freed_.notify_one();
  }

  // Ends all waiting, now and later. Any thread, any number of times.
  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    slot_freed_.notify_all();
    published_.notify_all();
  }

 private:
  struct Pending {
    Slot* slot = nullptr;
    bool ready = false;
  };
  const int64_t total_;
  std::vector<Slot> slots_;
  std::vector<Pending>
      pending_;  // of sequence s at s % slots: at most `slots` numbers are outstanding, and released in order
  std::vector<Slot*> free_;
  int64_t reserved_ = 0, consumed_ = 0;
  bool closed_ = false;
  std::mutex mutex_;
  std::condition_variable slot_freed_, published_;
};

}  // namespace doppel
