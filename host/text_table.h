// Tables of text for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace doppel {

// At most `width` characters of UTF-8 text, padded to it; control characters become spaces.
std::string fit_text(const std::string& text, size_t width);

// The text as a terminal may show it: control characters become spaces, and what is longer than `width` characters ends
// in "...".
std::string shorten_text(const std::string& text, size_t width);

// Columns as wide as their widest cell, two spaces between them. A title that begins with '>' is of a column of
// numbers, aligned to the right; no column is wider than kMaximumCell characters but the last.
class TextTable {
 public:
  static constexpr size_t kMaximumCell = 32;
  explicit TextTable(const std::vector<std::string>& titles);
  void add(std::vector<std::string> cells);  // as many as titles
  std::string text() const;                  // lines, each ended

 private:
  std::vector<bool> is_number_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace doppel
