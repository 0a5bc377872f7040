#include "host/text_table.h"

#include <algorithm>

namespace doppel {
namespace {

bool starts_character(char byte) {
  return (byte & 0xc0) != 0x80;
}

size_t characters(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), starts_character));
}

}  // namespace

std::string fit_text(const std::string& text, size_t width) {
  std::string shown;
  size_t count = 0;
  for (const char byte : text) {
    const bool starts = starts_character(byte);
    if (starts && count == width) break;
    count += starts;
    shown += static_cast<unsigned char>(byte) < 32 || byte == 127 ? ' ' : byte;
  }
  return shown + std::string(width - count, ' ');
}

std::string shorten_text(const std::string& text, size_t width) {
  const size_t count = characters(text);
  return count <= width ? fit_text(text, count) : fit_text(text, width - 3) + "...";
}

TextTable::TextTable(const std::vector<std::string>& titles) {
  for (const std::string& title : titles) is_number_.push_back(title.starts_with('>'));
  std::vector<std::string> cells;
  for (const std::string& title : titles) cells.push_back(title.starts_with('>') ? title.substr(1) : title);
  add(std::move(cells));
}

void TextTable::add(std::vector<std::string> cells) {
  for (size_t column = 0; column < cells.size(); ++column) {
    const bool is_last = column + 1 == cells.size();
    cells[column] = shorten_text(cells[column], is_last ? characters(cells[column]) : kMaximumCell);
  }
  rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
  std::vector<size_t> widths(is_number_.size());
  for (const std::vector<std::string>& row : rows_) {
    for (size_t column = 0; column < widths.size(); ++column)
      widths[column] = std::max(widths[column], characters(row[column]));
  }
  std::string text;
  for (const std::vector<std::string>& row : rows_) {
    std::string line;
    for (size_t column = 0; column < widths.size(); ++column) {
      const std::string padding(widths[column] - characters(row[column]), ' ');
      line += (column == 0 ? "" : "  ") + (is_number_[column] ? padding + row[column] : row[column] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace doppel
