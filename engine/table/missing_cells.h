// The missing cells of one column: how many, and how they are written.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/table/cells.h"
#include "engine/table/profile.h"

namespace doppel {

class MissingCells {
 public:
  void add_nulls(int64_t count) { nulls_ += count; }  // without a text
  // `text` is a marker with the blanks around it. Spellings beyond a thousand count as the marker without blanks.
  void add(std::string_view text, int64_t count) {
    const bool is_new = spellings_.find(text) == spellings_.end();
    spellings_[std::string(is_new && spellings_.size() >= kMostSpellings ? trimmed(text) : text)] += count;
  }
  bool empty() const { return nulls_ == 0 && spellings_.empty(); }

  void describe(ColumnSchema& schema, CleaningReport& cleaning) const {
    std::map<std::string_view, Marker> markers;
    for (const auto& [text, count] : spellings_) {
      Marker& marker = markers[trimmed(text)];
      marker.count += count;
      if (count > marker.most) marker.most = count, marker.text = text;
    }
    if (nulls_ > 0) markers[""].count += nulls_;
    std::vector<std::pair<std::string_view, Marker>> sorted(markers.begin(), markers.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.second.count > b.second.count; });
    for (const auto& [value, marker] : sorted) {
      cleaning.missing += marker.count;
      cleaning.missing_markers.emplace_back(value);
    }
    schema.has_missing = cleaning.missing > 0;
    if (!sorted.empty()) schema.missing_text = sorted.front().second.text;
  }

 private:
  static constexpr size_t kMostSpellings = 1000;
  struct Marker {
    int64_t count = 0, most = 0;
    std::string_view text;  // the most frequent spelling
  };
  std::map<std::string, int64_t, std::less<>> spellings_;
  int64_t nulls_ = 0;
};

}  // namespace doppel
