// The distinct texts of a column with their counts, in the order in which they came.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace doppel {

class TextDictionary {
 public:
  struct Entry {
    uint64_t hash;
    int64_t count;
    uint64_t offset;  // of the text in the arena
    uint64_t length;
  };

  TextDictionary() : slots_(kFirstSlots, kEmpty) {}

  // `hash` is the text's; equal texts have equal hashes.
  void add(std::string_view text, uint64_t hash, int64_t count = 1) {
    const size_t mask = slots_.size() - 1;
    size_t at = static_cast<size_t>(hash) & mask;
    for (; slots_[at] != kEmpty; at = (at + 1) & mask) {
      Entry& entry = entries_[slots_[at]];
      if (entry.hash == hash && this->text(entry) == text) {
        entry.count += count;
        return;
      }
    }
    slots_[at] = static_cast<uint32_t>(entries_.size());
    entries_.push_back({hash, count, arena_.size(), text.size()});
    arena_ += text;
    if (2 * entries_.size() > slots_.size()) grow();
  }

  const std::vector<Entry>& entries() const { return entries_; }
  std::string_view text(const Entry& entry) const { return {arena_.data() + entry.offset, entry.length}; }
  size_t bytes() const { return arena_.size() + entries_.size() * sizeof(Entry) + slots_.size() * sizeof(uint32_t); }

 private:
  static constexpr uint32_t kEmpty = ~uint32_t{0};
  static constexpr size_t kFirstSlots = 16;

  void grow() {
    slots_.assign(2 * slots_.size(), kEmpty);
    const size_t mask = slots_.size() - 1;
    for (size_t index = 0; index < entries_.size(); ++index) {
      size_t at = static_cast<size_t>(entries_[index].hash) & mask;
      while (slots_[at] != kEmpty) at = (at + 1) & mask;
      slots_[at] = static_cast<uint32_t>(index);
    }
  }

  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;  // a power of two of them: indices of entries
  std::string arena_;
};

}  // namespace doppel
