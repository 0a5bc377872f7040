#include "host/readers/csv_tokens.h"

#include <cstring>

namespace doppel {

CsvCell CsvTokens::next_quoted() {
  CsvCell cell;
  cell.begin = position_ + 1;
  cell.is_quoted = true;
  size_t from = cell.begin;
  for (;;) {
    const void* found = std::memchr(text_ + from, '"', end_ - from);
    if (found == nullptr) {
      cell.length = end_ - cell.begin;
      cell.end = is_last_ ? CellEnd::kUnterminated : CellEnd::kIncomplete;
      position_ = end_;
      return cell;
    }
    const size_t quote = static_cast<size_t>(static_cast<const char*>(found) - text_);
    from = quote + 1;
    if (from < end_ && text_[from] == '"') {
      cell.has_escapes = true;
      ++from;
      continue;
    }
    cell.length = quote - cell.begin;
    break;
  }
  // `from` is behind the closing quote, or, where more text is to come, perhaps behind the first of two.
  size_t mark = from;
  while (mark < end_ && (text_[mark] == ' ' || text_[mark] == '\t') && text_[mark] != delimiter_) ++mark;
  if (mark > from) {
    cell.length = mark - cell.begin;
    cell.has_escapes = true;
  }
  if (mark < end_ && text_[mark] != delimiter_ && text_[mark] != '\n' && text_[mark] != '\r') {
    cell.end = CellEnd::kStray;
    position_ = mark;
    return cell;
  }
  seek(mark);
  if (mark < end_) next_mark();
  cell.end = finish(mark);
  return cell;
}

char* unescape_cell(const char* cell, size_t length, char* out) {
  const char* const end = cell + length;
  while (cell < end) {
    const void* found = std::memchr(cell, '"', static_cast<size_t>(end - cell));
    const char* quote = found == nullptr ? end : static_cast<const char*>(found);
    std::memmove(out, cell, static_cast<size_t>(quote - cell));
    out += quote - cell;
    if (quote == end) break;
    cell = quote + 1;
    if (cell < end && *cell == '"') {
      *out++ = '"';
      ++cell;
    }
  }
  return out;
}

int64_t count_line_ends(const char* text, size_t begin, size_t end) {
  if (begin == end) return 0;  // the text may be null then, which memchr must not be given
  int64_t lines = std::count(text + begin, text + end, '\n');
  const char* at = text + begin;
  while ((at = static_cast<const char*>(std::memchr(at, '\r', static_cast<size_t>(text + end - at)))) != nullptr) {
    if (++at == text + end || *at != '\n') ++lines;
  }
  return lines;
}

}  // namespace doppel
