#include "engine/models/encoded_rows.h"

#include <algorithm>
#include <array>

namespace doppel {
namespace {

constexpr uint64_t kDirectRange = 1 << 20;             // of a column's numbers, whose positions a table holds
constexpr uint64_t kDirectRanges = uint64_t{1} << 26;  // of all columns together

constexpr size_t kAbreast = 8;  // searches

// Of each number wanted the index of the first value that is not smaller, or of the last value. Halving without
// branches, several searches side by side: each waits for memory at each of its steps.
template <class Value>
void lower_positions(const std::vector<Value>& values, const Value* wanted, int32_t* positions) {
  std::array<const Value*, kAbreast> first;
  first.fill(values.data());
  for (size_t length = values.size(); length > 1;) {
    const size_t half = length / 2;
    for (size_t i = 0; i < kAbreast; ++i) {
      const auto is_less = static_cast<size_t>(first[i][half - 1] < wanted[i]);
      first[i] += half & (0 - is_less);  // which compilers make no branch of
    }
    length -= half;
  }
  for (size_t i = 0; i < kAbreast; ++i) positions[i] = static_cast<int32_t>(first[i] - values.data());
}

// The same for `count` numbers of a column; those of rows without one are any.
template <class Value>
void find_positions(const std::vector<Value>& values, const Value* numbers, int64_t count, int32_t* positions) {
  int64_t done = 0;
  for (; done + static_cast<int64_t>(kAbreast) <= count; done += kAbreast)
    lower_positions(values, numbers + done, positions + done);
  std::array<Value, kAbreast> rest{};
  std::array<int32_t, kAbreast> of_rest;
  std::copy(numbers + done, numbers + count, rest.begin());
  lower_positions(values, rest.data(), of_rest.data());
  std::copy_n(of_rest.begin(), count - done, positions + done);
}

}  // namespace

PositionFinder::PositionFinder(const ColumnSchema& schema, const Distribution& distribution, size_t columns)
    : kind_(schema.kind), levels_(static_cast<int32_t>(schema.levels.size())), distribution_(distribution) {
  const std::vector<int64_t>& quanta = distribution.quanta;
  if (!is_numeric(kind_) || quanta.empty()) return;
  const uint64_t range = static_cast<uint64_t>(quanta.back()) - static_cast<uint64_t>(quanta.front());
  if (range >= std::min(kDirectRange, kDirectRanges / columns)) return;
  direct_.resize(range + 1);
  size_t position = 0;
  for (uint64_t offset = 0; offset <= range; ++offset) {
    if (static_cast<uint64_t>(quanta[position]) - static_cast<uint64_t>(quanta.front()) < offset) ++position;
    direct_[offset] = static_cast<int32_t>(position);
  }
}

void PositionFinder::find(const Column& column, int64_t first, int64_t rows, int32_t* positions) const {
  if (kind_ == ColumnKind::kEmpty) {
    std::fill_n(positions, rows, kMissingPosition);
    return;
  }
  find_present(column, first, rows, positions);
  for (int64_t i = 0; i < rows && !column.missing.empty(); ++i)
    if (column.is_missing(first + i)) positions[i] = kMissingPosition;
}

// Rows without a value get any position.
void PositionFinder::find_present(const Column& column, int64_t first, int64_t rows, int32_t* positions) const {
  if (is_discrete(kind_)) {
    const int32_t* codes = column.codes.data() + first;
    for (int64_t i = 0; i < rows; ++i)
      positions[i] = codes[i] < levels_ ? std::max(codes[i], kMissingPosition) : kMissingPosition;
  } else if (!direct_.empty()) {
    const int64_t least = distribution_.quanta.front(), greatest = distribution_.quanta.back();
    const int64_t* quanta = column.quanta.data() + first;
    for (int64_t i = 0; i < rows; ++i) positions[i] = direct_[std::clamp(quanta[i], least, greatest) - least];
  } else if (!distribution_.quanta.empty()) {
    find_positions(distribution_.quanta, column.quanta.data() + first, rows, positions);
  } else if (!distribution_.reals.empty()) {
    find_positions(distribution_.reals, column.reals.data() + first, rows, positions);
  } else {
    std::fill_n(positions, rows, 0);
  }
}

RowBlocks::RowBlocks(TableSource& source, const TableProfile& profile, int64_t block_rows, int64_t resident_bytes,
                     std::function<void(double)> progress)
    : source_(source),
      profile_(profile),
      block_rows_(block_rows),
      is_resident_(profile.rows <= resident_bytes / static_cast<int64_t>(sizeof(int32_t) *
                                                                         std::max<size_t>(profile.columns.size(), 1))),
      progress_(std::move(progress)) {
  for (size_t c = 0; c < profile.columns.size(); ++c)
    finders_.emplace_back(profile.schema.columns[c], profile.columns[c].distribution, profile.columns.size());
}

void RowBlocks::for_each(const BlockConsumer& consume) {
  if (!is_resident_) return read_source(consume);
  if (kept_.empty()) read_source([&](const EncodedRows& block) { kept_.push_back(block); });
  for (const EncodedRows& block : kept_) consume(block);
}

void RowBlocks::read_source(const BlockConsumer& consume) {
  EncodedRows block(finders_.size(), std::min(block_rows_, std::max<int64_t>(profile_.rows, 1)));
  RawChunk chunk;
  Table table;
  source_.rewind();
  while (source_.next(chunk)) {
    convert_chunk(chunk, profile_.schema, source_, table);
    for (int64_t first = 0; first < chunk.rows;) {
      const int64_t rows = std::min(chunk.rows - first, block.capacity - block.rows);
      for (size_t c = 0; c < finders_.size(); ++c)
        finders_[c].find(table.columns[c], first, rows, block.column(c) + block.rows);
      first += rows;
      block.rows += rows;
      if (block.rows < block.capacity) continue;
      consume(block);
      block.first_row += block.rows;
      block.rows = 0;
    }
    if (progress_ && source_.bytes_total() > 0)
      progress_(static_cast<double>(source_.bytes_read()) / static_cast<double>(source_.bytes_total()));
  }
  if (block.rows > 0) consume(block);
}

}  // namespace doppel
