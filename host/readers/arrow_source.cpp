#include "host/readers/arrow_source.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "host/readers/arrow_status.h"
#include "kernels/common/error.h"

namespace doppel {

void ArrowSource::start() {
  batch_.reset();
  batch_row_ = first_row_ = 0;
  set_fields(*open_batches());
  if (!load_batch()) throw InputError(path_ + ": has columns but no rows: nothing can be learned from it");
}

void ArrowSource::set_fields(const arrow::Schema& schema) {
  if (schema.num_fields() == 0) throw InputError(path_ + ": has no columns: nothing can be learned from it");
  std::vector<RawField> fields;
  std::set<std::string_view> names;
  for (const std::shared_ptr<arrow::Field>& field : schema.fields()) {
    fields.push_back(raw_field(path_, *field));
    if (names.insert(field->name()).second) continue;
    throw InputError(path_ + ": two columns are called '" + field->name() + "': give each column a name of its own");
  }
  const auto is_same = [](const RawField& a, const RawField& b) { return a.name == b.name && a.type == b.type; };
  if (!fields_.empty() && !std::equal(fields.begin(), fields.end(), fields_.begin(), fields_.end(), is_same)) {
    throw InputError(path_ + ": the columns changed while the file was read: let no other program write it");
  }
  fields_ = std::move(fields);
}

// Makes a batch with rows the current one; false at the end.
bool ArrowSource::load_batch() {
  do {
    batch_ = read_batch();
    if (!batch_) return false;
  } while (batch_->num_rows() == 0);
  double row_bytes = 0;
  for (int column = 0; column < batch_->num_columns(); ++column) {
    const arrow::Array& array = *batch_->column(column);
    const arrow::Status status = array.ValidateFull();  // offsets, codes and text of a damaged file
    if (!status.ok()) {
      require(path_ + ": column '" + fields_[static_cast<size_t>(column)].name + "'", status);
    }
    row_bytes += bytes_per_row(array);
  }
  const auto rows = static_cast<double>(batch_->num_rows());
  const double pieces = std::ceil(rows * row_bytes / static_cast<double>(std::max<int64_t>(chunk_bytes_, 1)));
  piece_rows_ = static_cast<int64_t>(std::ceil(rows / std::clamp(pieces, 1.0, rows)));
  batch_row_ = 0;
  return true;
}

bool ArrowSource::next(RawChunk& chunk) {
  chunk = {};
  if (!batch_ || (batch_row_ == batch_->num_rows() && !load_batch())) return false;
  // The caller may keep an earlier chunk.
  if (!memory_ || memory_.use_count() > 1) memory_ = std::make_shared<std::vector<ArrowColumnMemory>>(fields_.size());
  const auto piece = batch_->Slice(batch_row_, piece_rows_);
  chunk.columns.resize(fields_.size());
  for (size_t column = 0; column < fields_.size(); ++column) {
    const ArrowPlace place{path_, fields_[column].name, first_row_};
    chunk.columns[column] = raw_column(*piece->column(static_cast<int>(column)), place, (*memory_)[column]);
  }
  chunk.first_row = first_row_;
  chunk.rows = piece->num_rows();
  chunk.owner = std::make_shared<std::pair<decltype(piece), decltype(memory_)>>(piece, memory_);
  first_row_ += chunk.rows;
  batch_row_ += chunk.rows;
  return true;
}

std::string ArrowSource::locate(int64_t row, size_t) {
  return path_ + ": row " + std::to_string(row + 1);
}

}  // namespace doppel
