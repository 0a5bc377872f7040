// Cells of a CSV text, one after the other, by RFC 4180: a cell that begins with a quote ends at the next quote that is
// not doubled, and may hold delimiters and line breaks; any other cell ends at the delimiter or the line's end (LF, CR
// LF or CR), and quotes in it are plain characters.
//
// Own code, not Arrow's CSV reader, which was measured beside it (bench/readers.cpp): that one knows rows but not lines
// once cells hold line breaks, skips what it takes for blank, ends a cell at a stray quote without an error, and is the
// slower one.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

#include "host/readers/csv_marks.h"

namespace doppel {

// Readable zero bytes that must follow a text that is tokenised.
inline constexpr size_t kCsvPadding = 64;

enum class CellEnd : uint8_t {
  kDelimiter,     // another cell of the line follows
  kLine,          // the line ends
  kText,          // the text ends
  kIncomplete,    // the text ends before the cell, and more text is to come
  kUnterminated,  // the text ends in a quoted cell
  kStray,         // something follows a closing quote
};

struct CsvCell {
  size_t begin = 0, length = 0;  // of the bytes between the quotes, or of the whole cell
  bool is_quoted = false;
  bool has_escapes = false;  // the bytes need unescape_cell
  CellEnd end = CellEnd::kDelimiter;
};

// The bytes of a cell that has escapes: doubled quotes become one, and blanks after the closing quote stay. Returns the
// end of what was written; never more than `length` bytes.
char* unescape_cell(const char* cell, size_t length, char* out);

// Line ends in text[begin, end): LF, CR LF and CR count as one each.
int64_t count_line_ends(const char* text, size_t begin, size_t end);

class CsvTokens {
 public:
  // Of text[begin, end); `is_last`: no text follows the end.
  CsvTokens(const char* text, size_t begin, size_t end, bool is_last, char delimiter)
      : text_(text), end_(end), position_(begin), is_last_(is_last), delimiter_(delimiter) {
    seek(begin);
  }

  size_t position() const { return position_; }  // where the next cell begins
  bool at_end() const { return position_ >= end_; }

  CsvCell next() {
    if (text_[position_] == '"' && position_ < end_) return next_quoted();
    CsvCell cell;
    cell.begin = position_;
    const size_t mark = next_mark();
    cell.length = mark - cell.begin;
    cell.end = finish(mark);
    return cell;
  }

 private:
  static constexpr size_t kWords = 32;  // marks found at once

  // Ends a cell at `mark`, its own place in the marks, and moves to the next cell.
  CellEnd finish(size_t mark) {
    if (mark >= end_) {
      position_ = end_;
      return is_last_ ? CellEnd::kText : CellEnd::kIncomplete;
    }
    position_ = mark + 1;
    if (text_[mark] == delimiter_) return CellEnd::kDelimiter;
    if (text_[mark] == '\r') {
      if (position_ == end_ && !is_last_) return CellEnd::kIncomplete;
      if (position_ < end_ && text_[position_] == '\n') {
        next_mark();
        ++position_;
      }
    }
    return CellEnd::kLine;
  }

  size_t next_mark() {
    while (bits_ == 0) {
      if (++word_ == words_) {
        tile_ += 64 * words_;
        if (tile_ >= end_) {
          word_ = words_ - 1;
          tile_ -= 64 * words_;
          return end_;
        }
        fill();
      }
      bits_ = marks_[word_];
    }
    const size_t mark = tile_ + 64 * word_ + static_cast<size_t>(std::countr_zero(bits_));
    bits_ &= bits_ - 1;
    return std::min(mark, end_);
  }

  // Marks before `position` are done with.
  void seek(size_t position) {
    if (words_ == 0 || position >= tile_ + 64 * words_) {
      tile_ = position;
      fill();
    }
    word_ = (position - tile_) / 64;
    bits_ = marks_[word_] & (~uint64_t{0} << ((position - tile_) % 64));
  }

  void fill() {
    words_ = std::clamp<size_t>((end_ - std::min(tile_, end_) + 63) / 64, 1, kWords);
    find_marks(text_ + tile_, words_, delimiter_, marks_);
    word_ = 0;
  }

  CsvCell next_quoted();

  const char* text_;
  size_t end_, position_;
  bool is_last_;
  char delimiter_;
  size_t tile_ = 0, words_ = 0, word_ = 0;  // marks_ are of text_[tile_, tile_ + 64 * words_)
  uint64_t bits_ = 0;                       // what is left of marks_[word_]
  uint64_t marks_[kWords];
};

}  // namespace doppel
