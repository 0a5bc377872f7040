#include "engine/models/encoded_rows.h"

#include <algorithm>

namespace doppel {
namespace {

constexpr uint64_t kDirectRange = 1 << 20;             // of a column's numbers, whose positions a table holds
constexpr uint64_t kDirectRanges = uint64_t{1} << 26;  // of all columns together

// Index of the first value that is not smaller, or of the last value. Halving without branches.
template <class Value>
int32_t lower_position(const std::vector<Value>& values, Value value) {
  const Value* first = values.data();
  for (size_t length = values.size(); length > 1;) {
    const size_t half = length / 2;
    first += first[half - 1] < value ? half : 0;
    length -= half;
  }
  return static_cast<int32_t>(first - values.data());
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
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t row = first + i;
    if (kind_ == ColumnKind::kEmpty || column.is_missing(row)) {
      positions[i] = kMissingPosition;
    } else if (is_discrete(kind_)) {
      positions[i] = column.codes[row] < levels_ ? std::max(column.codes[row], kMissingPosition) : kMissingPosition;
    } else if (!direct_.empty()) {
      const int64_t least = distribution_.quanta.front(), greatest = distribution_.quanta.back();
      positions[i] = direct_[std::clamp(column.quanta[row], least, greatest) - least];
    } else if (!distribution_.quanta.empty()) {
      positions[i] = lower_position(distribution_.quanta, column.quanta[row]);
    } else if (!distribution_.reals.empty()) {
      positions[i] = lower_position(distribution_.reals, column.reals[row]);
    } else {
      positions[i] = 0;
    }
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
