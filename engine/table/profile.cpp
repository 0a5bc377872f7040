#include "engine/table/profile.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/table/cells.h"
#include "engine/table/column_profiler.h"
#include "engine/table/table.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr size_t kDistinctEntryBytes = 64;            // an entry of a dictionary with its share of slots and text
constexpr int64_t kDuplicateRows = int64_t{1} << 25;  // 256 MiB of hashes

ColumnLimits limits_of(size_t columns, const ProfileOptions& options) {
  const size_t bytes = static_cast<size_t>(options.distinct_bytes) / std::max<size_t>(columns, 1);
  ColumnLimits limits;
  limits.exact_distinct = std::clamp<size_t>(bytes / kDistinctEntryBytes, 512, kExactDistinct);
  limits.text_bytes = std::clamp<size_t>(bytes, size_t{64} << 10, size_t{16} << 20);
  limits.sketch_capacity = std::clamp<size_t>(bytes / 128, 1024, size_t{1} << 15);
  return limits;
}

// The hashes of all rows, up to a limit.
class DuplicateCounter {
 public:
  explicit DuplicateCounter(int64_t limit) : limit_(limit) {}
  void add(const std::vector<uint64_t>& hashes) {
    rows_ += static_cast<int64_t>(hashes.size());
    if (rows_ > limit_) {
      hashes_ = {};
      return;
    }
    // By quarters, not by doubling: of 256 MiB the spare room counts.
    if (hashes_.capacity() < hashes_.size() + hashes.size())
      hashes_.reserve(hashes.size() + hashes_.size() + hashes_.size() / 4);
    hashes_.insert(hashes_.end(), hashes.begin(), hashes.end());
  }
  int64_t rows() const { return rows_; }
  int64_t count() {
    if (rows_ > limit_) return -1;
    std::sort(hashes_.begin(), hashes_.end());
    return static_cast<int64_t>(hashes_.end() - std::unique(hashes_.begin(), hashes_.end()));
  }

 private:
  std::vector<uint64_t> hashes_;
  int64_t limit_, rows_ = 0;
};

using Profilers = std::vector<std::unique_ptr<ColumnProfiler>>;

// One pass for the columns that are wanted.
void read_columns(TableSource& source, const Profilers& profilers, const std::vector<bool>& wanted,
                  DuplicateCounter* duplicates = nullptr) {
  std::vector<uint64_t> row_hashes;
  source.rewind();
  for (RawChunk chunk; source.next(chunk);) {
    row_hashes.assign(static_cast<size_t>(chunk.rows), 0);
    for (size_t index = 0; index < profilers.size(); ++index) {
      if (wanted[index]) profilers[index]->add(chunk.columns[index], chunk.rows, row_hashes.data());
    }
    if (duplicates != nullptr) duplicates->add(row_hashes);
  }
}

// The overrides by the source's columns; null where there is none.
std::vector<const ColumnSchema*> match_overrides(const TableSource& source, const ProfileOptions& options) {
  const std::vector<RawField>& fields = source.fields();
  std::vector<const ColumnSchema*> told(fields.size());
  if (!options.overrides) return told;
  TableSchema names;
  for (const RawField& field : fields) names.columns.emplace_back().name = field.name;
  for (const ColumnSchema& column : options.overrides->columns) told[names.find(column.name)] = &column;
  return told;
}

// A column whose values do not fit the kind told: reads it again to say where.
[[noreturn]] void throw_misfit(TableSource& source, const TableProfile& profile, size_t index,
                               const ColumnSchema& told) {
  TableSchema schema = profile.schema;
  for (ColumnSchema& column : schema.columns) column.kind = ColumnKind::kText;  // takes any text
  ColumnSchema& column = schema.columns[index];
  const std::string name = column.name;
  column = told;
  column.name = name;
  source.rewind();
  Table table;
  for (RawChunk chunk; source.next(chunk);) {
    convert_chunk(chunk, schema, source, table);
    const std::vector<int32_t>& codes = table.columns[index].codes;
    const auto unseen = std::find(codes.begin(), codes.end(), kUnseenCode);
    if (unseen == codes.end()) continue;
    throw InputError(source.locate(chunk.first_row + (unseen - codes.begin()), index) +
                     ": is none of the levels that the schema lists (column '" + name + "')");
  }
  throw InputError(source.name() + ": column '" + name + "' is not of the kind " + to_string(told.kind) +
                   " that the schema gives it" +
                   (told.kind == ColumnKind::kCategory ? ": it has too many levels" : ""));
}

}  // namespace

nlohmann::ordered_json to_json(const CleaningReport& report) {
  return {{"missing", report.missing},   {"missing_markers", report.missing_markers},
          {"trimmed", report.trimmed},   {"outliers", report.outliers},
          {"distinct", report.distinct}, {"distinct_is_exact", report.distinct_is_exact},
          {"note", report.note}};
}

TableProfile profile_table(TableSource& source, const ProfileOptions& options) {
  const std::vector<RawField>& fields = source.fields();
  if (fields.empty()) throw InputError(source.name() + ": has no columns");
  const std::vector<const ColumnSchema*> told = match_overrides(source, options);
  const MissingMarkers markers(options.missing_markers);
  Profilers profilers;
  for (size_t index = 0; index < fields.size(); ++index)
    profilers.push_back(
        make_column_profiler(fields[index], {told[index], &markers}, limits_of(fields.size(), options)));

  DuplicateCounter duplicates(options.counts_duplicates ? kDuplicateRows : 0);
  read_columns(source, profilers, std::vector<bool>(fields.size(), true), &duplicates);
  std::vector<bool> again;
  for (const auto& profiler : profilers) again.push_back(profiler->start_second_pass());
  if (std::find(again.begin(), again.end(), true) != again.end()) read_columns(source, profilers, again);

  TableProfile profile;
  profile.rows = duplicates.rows();
  if (profile.rows == 0) throw InputError(source.name() + ": has no rows: nothing can be learned from it");
  profile.duplicate_rows = duplicates.count();
  profile.columns.resize(fields.size());
  for (size_t index = 0; index < fields.size(); ++index) {
    ColumnSchema& column = profile.schema.columns.emplace_back();
    column.name = fields[index].name;
    column.source = fields[index].type;
    column.timezone = fields[index].timezone;
  }
  for (size_t index = 0; index < fields.size(); ++index) {
    const bool fits = profilers[index]->finish(profile.schema.columns[index], profile.columns[index]);
    profilers[index].reset();
    if (!fits && told[index] == nullptr)
      throw InputError(source.name() + ": column '" + fields[index].name + "' changed while the table was read");
    if (!fits) throw_misfit(source, profile, index, *told[index]);
  }
  return profile;
}

}  // namespace doppel
