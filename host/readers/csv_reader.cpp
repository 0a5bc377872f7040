// CSV: a chunk is the whole rows of a block of text. The text is cut into cells row by row, then the cells are gathered
// column by column. Every cell is text: the engine infers types.
//
// Blank lines are skipped anywhere, as pandas, Arrow and Python's csv writers expect; an empty cell that is the only
// one of its row is written "".
#include <algorithm>
#include <climits>
#include <cstring>
#include <optional>
#include <set>
#include <string_view>

#include "host/readers/byte_source.h"
#include "host/readers/csv_tokens.h"
#include "host/readers/formats.h"
#include "host/readers/scratch.h"
#include "host/readers/utf8.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr size_t kSampleBytes = 256 << 10;  // where the delimiter is looked for
constexpr int kSampleLines = 100;
constexpr size_t kMaximumCellBytes = 64 << 20;
constexpr size_t kMaximumRowBytes = 256 << 20;
constexpr int64_t kMaximumChunkBytes = 1 << 30;
constexpr char kDelimiters[] = {',', ';', '\t', '|'};
constexpr size_t kBytesPerCell =
    8;  // a chunk has at most chunk_bytes / kBytesPerCell cells: an empty one costs memory, too
constexpr size_t kTileCells = 4096;  // gathered together: their places stay in the nearest cache
constexpr size_t kShortCell = 16;    // cells up to this length are copied in one move of this length

struct CellPlace {
  uint32_t begin, length : 31, has_escapes : 1;
};

// Where the cells of a column go.
struct ColumnOutput {
  int64_t* offsets;
  char* bytes;
};

struct ChunkMemory {
  Scratch<char> bytes;
  Scratch<int64_t> offsets;
};

// How well a delimiter divides the first lines.
struct Layout {
  int64_t cells = 0;     // of the first line
  int64_t lines = 0;     // looked at
  int64_t agreeing = 0;  // lines of as many cells as the first
  bool better_than(const Layout& other) const {
    if (cells < 2 || other.cells < 2) return cells > other.cells;
    const int64_t here = agreeing * other.lines, there = other.agreeing * lines;
    return here != there ? here > there : cells > other.cells;
  }
};

Layout find_layout(const char* text, size_t size, bool is_last, char delimiter) {
  CsvTokens tokens(text, 0, size, is_last, delimiter);
  Layout layout;
  while (layout.lines < kSampleLines && !tokens.at_end()) {
    int64_t cells = 0;
    CsvCell cell;
    do {
      cell = tokens.next();
      ++cells;
    } while (cell.end == CellEnd::kDelimiter);
    const bool is_whole = cell.end == CellEnd::kLine || cell.end == CellEnd::kText;
    if (is_whole && cells == 1 && cell.length == 0 && !cell.is_quoted) continue;  // a blank line
    if (layout.lines == 0) layout.cells = cells;
    if (cell.end == CellEnd::kIncomplete && layout.lines > 0) break;
    ++layout.lines;
    layout.agreeing += is_whole && cells == layout.cells;
    if (!is_whole) break;
  }
  return layout;
}

char find_delimiter(const char* text, size_t size, bool is_last) {
  char best = kDelimiters[0];
  Layout best_layout = find_layout(text, size, is_last, best);
  for (const char delimiter : kDelimiters) {
    const Layout layout = find_layout(text, size, is_last, delimiter);
    if (layout.better_than(best_layout)) best = delimiter, best_layout = layout;
  }
  return best;
}

class CsvSource : public TableSource {
 public:
  CsvSource(const std::string& path, const ReadOptions& options)
      : path_(path),
        chunk_bytes_(static_cast<size_t>(std::clamp<int64_t>(options.chunk_bytes, 1, kMaximumChunkBytes))),
        delimiter_(options.delimiter) {
    if (delimiter_ == '"' || delimiter_ == '\n' || delimiter_ == '\r' ||
        static_cast<unsigned char>(delimiter_) > 0x7f) {
      throw UsageError("a CSV delimiter must be one ASCII character, no quote and no line break");
    }
    start();
  }

  const std::string& name() const override { return path_; }
  const std::vector<RawField>& fields() const override { return fields_; }
  bool next(RawChunk& chunk) override;
  void rewind() override { start(); }
  std::string locate(int64_t row, size_t column) override;
  int64_t bytes_read() const override { return source_->bytes_read(); }
  int64_t bytes_total() const override { return source_->bytes_total(); }

 private:
  void start();
  void read_header();
  bool has_rows();
  void fill(size_t wanted);
  void load(size_t wanted);
  void grow(const CsvCell* open_cell);
  void check_text(size_t from);
  int64_t tokenise();
  void gather(int64_t rows, RawChunk& chunk);
  void gather_column(const CellPlace* place, size_t begin, size_t end, const ColumnOutput& output) const;
  std::string place(size_t position) const;
  [[noreturn]] void throw_bad_cell(const CsvCell& cell, size_t position) const;
  [[noreturn]] void throw_ragged(size_t row_begin, bool is_last) const;

  std::string path_;
  size_t chunk_bytes_;
  char delimiter_;
  std::vector<RawField> fields_;
  std::unique_ptr<ByteSource> source_;

  // text_[0, size_) is in memory, text_[0, consumed_) is the header or the current chunk; text_[0] is in line line_.
  std::unique_ptr<char[]> text_;
  size_t capacity_ = 0, size_ = 0, consumed_ = 0;
  size_t wanted_ = 0;  // bytes of text a chunk is made of: chunk_bytes_, or more where a row is longer
  bool source_ended_ = false;
  int64_t line_ = 1;
  int64_t first_row_ = 0, rows_ = 0;  // of the current chunk

  Scratch<CellPlace> places_;
  std::vector<size_t> column_bytes_;
  std::vector<ColumnOutput> outputs_;
  std::shared_ptr<ChunkMemory> memory_ = std::make_shared<ChunkMemory>();
};

// "life.csv:41:7" of the cell that holds the byte at `position`.
std::string CsvSource::place(size_t position) const {
  CsvTokens tokens(text_.get(), 0, size_, true, delimiter_);
  int64_t ordinal = 0;
  while (!tokens.at_end()) {
    ++ordinal;
    const CsvCell cell = tokens.next();
    if (position < tokens.position() || cell.end > CellEnd::kLine) break;
    if (cell.end == CellEnd::kLine) ordinal = 0;
  }
  const int64_t line = line_ + count_line_ends(text_.get(), 0, position);
  return path_ + ":" + std::to_string(line) + ":" + std::to_string(std::max<int64_t>(ordinal, 1));
}

void CsvSource::throw_bad_cell(const CsvCell& cell, size_t position) const {
  if (cell.end == CellEnd::kStray) {
    throw InputError(place(cell.begin) + ": something follows the closing quote of a cell: double the quotes in it");
  }
  if (cell.end == CellEnd::kUnterminated) {
    throw InputError(place(cell.begin) + ": the quote that opens this cell is never closed: close or double it");
  }
  throw InputError(place(position) + ": a cell is longer than 64 MiB: " +
                   (cell.is_quoted ? "is its closing quote missing?" : "is this a CSV file with line breaks?"));
}

void CsvSource::throw_ragged(size_t row_begin, bool is_last) const {
  CsvTokens tokens(text_.get(), row_begin, size_, is_last, delimiter_);
  int64_t cells = 0;
  CsvCell cell;
  do {
    const size_t position = tokens.position();
    cell = tokens.next();
    if (cell.end == CellEnd::kStray || cell.end == CellEnd::kUnterminated) throw_bad_cell(cell, position);
    ++cells;
  } while (cell.end == CellEnd::kDelimiter);
  const char* at_least = cell.end == CellEnd::kIncomplete ? "at least " : "";
  const int64_t line = line_ + count_line_ends(text_.get(), 0, row_begin);
  throw InputError(path_ + ":" + std::to_string(line) + ": expected " + std::to_string(fields_.size()) +
                   " cells, found " + at_least + std::to_string(cells) +
                   ": complete the line, or quote cells that hold '" +
                   (delimiter_ == '\t' ? "\\t" : std::string(1, delimiter_)) + "' or a line break");
}

// Moves what the current chunk left to the front and reads on until `wanted` bytes are there or the file ends.
void CsvSource::fill(size_t wanted) {
  line_ += count_line_ends(text_.get(), 0, consumed_);
  const size_t rest = size_ - consumed_;
  if (wanted + kCsvPadding > capacity_) {
    auto larger = std::make_unique_for_overwrite<char[]>(wanted + kCsvPadding);
    if (rest > 0) std::memcpy(larger.get(), text_.get() + consumed_, rest);
    text_ = std::move(larger);
    capacity_ = wanted + kCsvPadding;
  } else if (consumed_ > 0) {
    std::memmove(text_.get(), text_.get() + consumed_, rest);
  }
  consumed_ = 0;
  size_ = rest;
  if (!source_ended_ && size_ < wanted) {
    const size_t length = source_->read(text_.get() + size_, wanted - size_);
    source_ended_ = length < wanted - size_;
    size_ += length;
  }
  std::memset(text_.get() + size_, 0, kCsvPadding);
}

// The same, and checks what was read.
void CsvSource::load(size_t wanted) {
  const size_t rest = size_ - consumed_;
  fill(wanted);
  check_text(rest);
}

// A row does not end within the text in memory: more is wanted.
void CsvSource::grow(const CsvCell* open_cell) {
  if (open_cell != nullptr && size_ - open_cell->begin > kMaximumCellBytes)
    throw_bad_cell(*open_cell, open_cell->begin);
  if (wanted_ >= kMaximumRowBytes) {
    throw InputError(place(consumed_) + ": a row is longer than 256 MiB: is this a CSV file with line breaks?");
  }
  wanted_ *= 2;
}

// Of text_[from, size_), and of a character that begins up to three bytes before and was cut off by the last load.
void CsvSource::check_text(size_t from) {
  const char* text = text_.get();
  const void* nul = std::memchr(text + from, 0, size_ - from);
  if (nul != nullptr) {
    throw InputError(place(static_cast<size_t>(static_cast<const char*>(nul) - text)) +
                     ": a NUL byte: this is no text; UTF-16 is converted with iconv -f utf16 -t utf8");
  }
  const std::optional<size_t> bad = find_invalid_utf8(text, begin_of_character(text, from), size_, source_ended_);
  if (!bad) return;
  char byte[8];
  std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned char>(text[*bad]));
  throw InputError(place(*bad) + ": byte " + byte + " is not UTF-8: convert the file, as with iconv -f latin1 -t utf8");
}

void CsvSource::start() {
  source_ = std::make_unique<ByteSource>(path_);
  size_ = consumed_ = 0;
  source_ended_ = false;
  line_ = 1;
  first_row_ = rows_ = 0;
  // The header and the delimiter are found in the same text whatever the size of chunks.
  fill(kSampleBytes);
  if (std::string_view(text_.get(), size_).starts_with("\xef\xbb\xbf")) {  // a byte order mark
    consumed_ = 3;
    fill(kSampleBytes);
  }
  if (delimiter_ == 0) delimiter_ = find_delimiter(text_.get(), size_, source_ended_);
  check_text(0);
  read_header();
  if (fields_.empty()) throw InputError(path_ + ": is empty: a header line and rows are needed");
  if (!has_rows()) throw InputError(path_ + ": has a header but no rows: nothing can be learned from it");
}

void CsvSource::read_header() {
  std::vector<RawField> fields;
  wanted_ = kSampleBytes;
  while (consumed_ < size_) {
    CsvTokens tokens(text_.get(), consumed_, size_, source_ended_, delimiter_);
    CsvCell cell;
    do {
      const size_t position = tokens.position();
      cell = tokens.next();
      if (cell.end >= CellEnd::kUnterminated) throw_bad_cell(cell, position);
      std::string name(text_.get() + cell.begin, cell.length);
      if (cell.has_escapes)
        name.resize(static_cast<size_t>(unescape_cell(name.data(), name.size(), name.data()) - name.data()));
      fields.emplace_back();
      fields.back().name = std::move(name);
    } while (cell.end == CellEnd::kDelimiter);
    if (cell.end == CellEnd::kIncomplete) {
      fields.clear();
      grow(&cell);
      load(wanted_);
      continue;
    }
    consumed_ = tokens.position();
    if (fields.size() > 1 || cell.length > 0 || cell.is_quoted) break;
    fields.clear();  // a blank line
    if (consumed_ == size_) load(wanted_);
  }
  wanted_ = chunk_bytes_;
  std::set<std::string_view> names;
  for (const RawField& field : fields) {
    if (names.insert(field.name).second) continue;
    throw InputError(path_ + ": two columns are called '" + field.name + "': give each column a name of its own");
  }
  const auto is_same = [](const RawField& a, const RawField& b) { return a.name == b.name; };
  if (!fields_.empty() && !std::equal(fields.begin(), fields.end(), fields_.begin(), fields_.end(), is_same)) {
    throw InputError(path_ + ": the header changed while the file was read: let no other program write it");
  }
  fields_ = std::move(fields);
}

// Whether a line that is not blank follows the header.
bool CsvSource::has_rows() {
  for (;;) {
    const char* const begin = text_.get() + consumed_;
    if (std::any_of(begin, begin + (size_ - consumed_), [](char byte) { return byte != '\n' && byte != '\r'; }))
      return true;
    if (source_ended_) return false;
    consumed_ = size_;
    load(kSampleBytes);
  }
}

// Finds the places of the cells of whole rows at the text's start. Sets consumed_ and column_bytes_; returns the rows.
int64_t CsvSource::tokenise() {
  const size_t columns = fields_.size(), limit = std::min(size_, wanted_);
  const bool is_last = source_ended_ && limit == size_;
  const size_t most_cells = std::max(columns, chunk_bytes_ / kBytesPerCell);
  CellPlace* const places = places_.reserve(most_cells);
  CellPlace* to = places;
  column_bytes_.assign(columns, 0);
  CsvTokens tokens(text_.get(), 0, limit, is_last, delimiter_);
  int64_t rows = 0;
  CsvCell cell;
  while (!tokens.at_end() && static_cast<size_t>(to - places) + columns <= most_cells) {
    const size_t row_begin = tokens.position();
    size_t column = 0, position;
    do {
      position = tokens.position();
      cell = tokens.next();
      if (cell.end >= CellEnd::kIncomplete || cell.length > kMaximumCellBytes) break;
      if (column == columns) throw_ragged(row_begin, source_ended_);
      to[column] = {static_cast<uint32_t>(cell.begin), static_cast<uint32_t>(cell.length) & INT32_MAX,
                    cell.has_escapes};
      ++column;
    } while (cell.end == CellEnd::kDelimiter);
    if (cell.end >= CellEnd::kUnterminated || cell.length > kMaximumCellBytes) throw_bad_cell(cell, position);
    if (cell.end == CellEnd::kIncomplete) break;
    if (column == columns) {
      if (columns == 1 && cell.length == 0 && !cell.is_quoted) {  // a blank line
        consumed_ = tokens.position();
        continue;
      }
      for (size_t at = 0; at < columns; ++at) column_bytes_[at] += to[at].length;
      to += columns;
      ++rows;
    } else if (column != 1 || cell.length > 0 || cell.is_quoted) {
      throw_ragged(row_begin, source_ended_);
    }
    consumed_ = tokens.position();
  }
  if (consumed_ == 0 && !is_last) grow(&cell);
  return rows;
}

// Rows [begin, end) of the column whose first cell is *place.
void CsvSource::gather_column(const CellPlace* place, size_t begin, size_t end, const ColumnOutput& output) const {
  const size_t columns = fields_.size();
  char* to = output.bytes + output.offsets[begin];
  for (size_t row = begin; row < end; ++row) {
    const CellPlace cell = place[row * columns];
    const char* const from = text_.get() + cell.begin;
    if (cell.has_escapes) {
      to = unescape_cell(from, cell.length, to);
    } else {
      if (cell.length <= kShortCell) {
        std::memcpy(to, from, kShortCell);  // one move of constant length: half the time of a call for each cell
      } else {
        std::memcpy(to, from, cell.length);
      }
      to += cell.length;
    }
    output.offsets[row + 1] = to - output.bytes;
  }
}

void CsvSource::gather(int64_t rows, RawChunk& chunk) {
  const size_t columns = fields_.size(), row_count = static_cast<size_t>(rows);
  if (memory_.use_count() > 1) memory_ = std::make_shared<ChunkMemory>();  // the caller keeps an earlier chunk
  size_t all_bytes = 0;
  for (const size_t bytes : column_bytes_) all_bytes += bytes + kShortCell;
  char* bytes = memory_->bytes.reserve(all_bytes);
  int64_t* offsets = memory_->offsets.reserve(columns * (row_count + 1));
  chunk.columns.resize(columns);
  outputs_.resize(columns);
  for (size_t column = 0; column < columns; ++column) {
    chunk.columns[column] = {.text_offsets = offsets, .text_bytes = bytes};
    outputs_[column] = {offsets, bytes};
    offsets[0] = 0;
    offsets += row_count + 1;
    bytes += column_bytes_[column] + kShortCell;  // room for a move of a short cell at the column's end
  }
  const CellPlace* const places = places_.reserve(0);
  const size_t tile_rows = std::max<size_t>(kTileCells / columns, 1);
  for (size_t begin = 0; begin < row_count; begin += tile_rows) {
    const size_t end = std::min(begin + tile_rows, row_count);
    for (size_t column = 0; column < columns; ++column) {
      gather_column(places + column, begin, end, outputs_[column]);
    }
  }
  chunk.first_row = first_row_;
  chunk.rows = rows;
  chunk.owner = memory_;
}

bool CsvSource::next(RawChunk& chunk) {
  chunk = {};
  while (consumed_ < size_ || !source_ended_) {
    first_row_ += rows_;
    rows_ = 0;
    load(wanted_);
    rows_ = tokenise();
    if (rows_ == 0) continue;
    wanted_ = chunk_bytes_;
    gather(rows_, chunk);
    return true;
  }
  return false;
}

std::string CsvSource::locate(int64_t row, size_t column) {
  if (row < first_row_ || row >= first_row_ + rows_) {
    CsvSource again(path_, {.delimiter = delimiter_, .chunk_bytes = static_cast<int64_t>(chunk_bytes_)});
    for (RawChunk chunk; again.next(chunk);) {
      if (row < chunk.first_row + chunk.rows) return again.locate(row, column);
    }
    return path_ + ": row " + std::to_string(row + 1);
  }
  CsvTokens tokens(text_.get(), 0, size_, source_ended_, delimiter_);
  int64_t at_row = first_row_;
  for (;;) {
    size_t at_column = 0, begin = tokens.position();
    CsvCell cell = tokens.next();
    const bool is_blank = cell.end != CellEnd::kDelimiter && cell.length == 0 && !cell.is_quoted;
    if (is_blank) continue;
    while (cell.end == CellEnd::kDelimiter && (at_row < row || at_column < column)) {
      begin = tokens.position();
      ++at_column;
      cell = tokens.next();
    }
    if (at_row++ < row) continue;
    const int64_t line = line_ + count_line_ends(text_.get(), 0, begin);
    return path_ + ":" + std::to_string(line) + ":" + std::to_string(at_column + 1);
  }
}

}  // namespace

std::unique_ptr<TableSource> open_csv(const std::string& path, const ReadOptions& options) {
  return std::make_unique<CsvSource>(path, options);
}

}  // namespace doppel
