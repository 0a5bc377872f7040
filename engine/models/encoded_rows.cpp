#include "engine/models/encoded_rows.h"

#include <algorithm>

namespace doppel {
namespace {

constexpr uint64_t kDirectRange = 1 << 20;             // of a column's numbers, whose positions a table holds
constexpr uint64_t kDirectRanges = uint64_t{1} << 26;  // of all columns together

// Of sorted numbers: fewer are searched before a device has begun.
constexpr size_t kLeastSorted = 1 << 12;

template <class Value>
std::unique_ptr<PreparedPositions<Value>> prepare(const std::vector<Value>& sorted, const Backend& backend) {
  if (sorted.size() >= kLeastSorted) return backend.prepare_positions(std::span(sorted));
  return prepare_positions_on_cpu(std::span(sorted));
}

}  // namespace

PositionFinder::PositionFinder(const ColumnSchema& schema, const Distribution& distribution, size_t columns,
                               const Backend& backend)
    : kind_(schema.kind), levels_(static_cast<int32_t>(schema.levels.size())), distribution_(distribution) {
  if (!is_numeric(kind_)) return;
  if (!distribution.reals.empty()) real_positions_ = prepare(distribution.reals, backend);
  const std::vector<int64_t>& quanta = distribution.quanta;
  if (quanta.empty()) return;
  const uint64_t range = static_cast<uint64_t>(quanta.back()) - static_cast<uint64_t>(quanta.front());
  if (range >= std::min(kDirectRange, kDirectRanges / columns)) {
    quanta_positions_ = prepare(quanta, backend);
    return;
  }
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
  } else if (quanta_positions_) {
    quanta_positions_->find(std::span(column.quanta).subspan(static_cast<size_t>(first), static_cast<size_t>(rows)),
                            positions);
  } else if (real_positions_) {
    real_positions_->find(std::span(column.reals).subspan(static_cast<size_t>(first), static_cast<size_t>(rows)),
                          positions);
  } else {
    std::fill_n(positions, rows, 0);
  }
}

RowBlocks::RowBlocks(TableSource& source, const TableProfile& profile, int64_t block_rows, int64_t resident_bytes,
                     const Backend& backend, std::function<void(double)> progress)
    : source_(source),
      profile_(profile),
      block_rows_(block_rows),
      is_resident_(profile.rows <= resident_bytes / static_cast<int64_t>(sizeof(int32_t) *
                                                                         std::max<size_t>(profile.columns.size(), 1))),
      progress_(std::move(progress)) {
  for (size_t c = 0; c < profile.columns.size(); ++c)
    finders_.emplace_back(profile.schema.columns[c], profile.columns[c].distribution, profile.columns.size(), backend);
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
