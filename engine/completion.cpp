#include "engine/completion.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>

#include "engine/constrained_rows.h"
#include "engine/table/cells.h"
#include "engine/table/datetime.h"
#include "engine/table/profile.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

// Texts of a table, row after row, from its start again after the last.
class TableTexts : public TextSource {
 public:
  explicit TableTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {
    for (const std::string& text : texts_) longest_ = std::max(longest_, text.size());
  }
  void append(uint64_t, uint64_t row, std::string& out) const override { out += texts_[row % texts_.size()]; }
  size_t max_bytes() const override { return longest_; }

 private:
  std::vector<std::string> texts_;
  size_t longest_ = 0;
};

int decimals_of(const ColumnSchema& schema) {
  return schema.kind == ColumnKind::kDecimal ? schema.decimals : 0;
}

// From a value as the model has it to the same as the output column has it.
class ValueConverter {
 public:
  ValueConverter() = default;
  ValueConverter(const ColumnSchema& from, const ColumnSchema& to) : from_(from), to_(to) {
    if (!is_discrete(from.kind)) return;
    std::unordered_map<std::string_view, int32_t> codes;
    for (size_t code = 0; code < to.levels.size(); ++code)
      codes.emplace(trimmed(to.levels[code]), static_cast<int32_t>(code));
    for (const std::string& level : from.levels) code_.push_back(codes.at(trimmed(level)));
  }
  SampledValue operator()(SampledValue value) const {
    if (value.is_missing) return value;
    if (is_discrete(from_.kind)) {
      value.integer = code_[static_cast<size_t>(value.integer)];
    } else if (from_.kind == ColumnKind::kDatetime) {
      convert_unit(value.integer, from_.unit, to_.unit, value.integer);
    } else if (is_numeric(from_.kind) && from_.kind != ColumnKind::kReal) {
      rescale_quanta(value.integer, decimals_of(from_), decimals_of(to_), value.integer);
    }
    return value;
  }

 private:
  ColumnSchema from_, to_;
  std::vector<int32_t> code_;
};

// A column of the output.
struct CompletedColumn {
  size_t column = 0;         // of the model
  bool is_given = false;     // by the table
  size_t place = 0;          // among the table's own columns, if given
  ValueConverter converter;  // of values that the model makes, if given
};

// How the table itself writes a column of the model.
ColumnSchema schema_as_is(const ColumnSchema& of_model, const ColumnSchema& of_table) {
  ColumnSchema schema = of_table;
  if (of_table.kind != of_model.kind)
    throw InputError("column '" + of_model.name + "' is of kind " + to_string(of_table.kind) +
                     ", the model's of kind " + to_string(of_model.kind));
  schema.has_missing = schema.has_missing || of_model.has_missing;
  if (is_discrete(of_model.kind)) {
    std::unordered_map<std::string_view, bool> known;
    for (const std::string& level : of_table.levels) known.emplace(trimmed(level), true);
    for (const std::string& level : of_model.levels)
      if (!known.contains(trimmed(level))) schema.levels.push_back(level);
  }
  return schema;
}

Storage storage_as_is(const ColumnSchema& schema) {
  if (schema.kind == ColumnKind::kReal)
    return schema.source == SourceType::kFloat32 ? Storage::kFloat32 : Storage::kFloat64;
  return is_numeric(schema.kind) ? Storage::kInt64 : Storage::kInt32;
}

void put_value(const OutputColumn& column, const ColumnBuffer& buffer, int64_t row, const SampledValue& value) {
  if (buffer.validity != nullptr) {
    const int byte = buffer.validity[row / 8], bit = 1 << row % 8;
    buffer.validity[row / 8] = static_cast<uint8_t>(value.is_missing ? byte & ~bit : byte | bit);
  }
  if (!column.has_values()) return;
  switch (column.storage) {
    case Storage::kInt32:
      static_cast<int32_t*>(buffer.values)[row] = static_cast<int32_t>(value.integer);
      break;
    case Storage::kInt64:
      static_cast<int64_t*>(buffer.values)[row] = value.integer;
      break;
    case Storage::kFloat32:
      static_cast<float*>(buffer.values)[row] = static_cast<float>(value.real);
      break;
    case Storage::kFloat64:
      static_cast<double*>(buffer.values)[row] = value.real;
      break;
  }
}

class CompletionGenerator : public Generator {
 public:
  CompletionGenerator(std::shared_ptr<const Density> density, Completion how, bool fills_gaps, uint64_t seed)
      : density_(std::move(density)), how_(how), fills_gaps_(fills_gaps), seed_(seed) {}
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return seed_; }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }

  // Reads what the table gives: as the model reads it, and as it is.
  void read(TableSource& source) {
    name_ = source.name();
    given_ = read_given(source, density_->schema());
    ProfileOptions options;
    options.overrides.emplace();
    for (size_t c = 0; c < given_.knowledge.size(); ++c) {
      if (given_.knowledge[c] != Knowledge::kGiven) continue;
      ColumnSchema told = density_->schema().columns[c];
      if (told.kind == ColumnKind::kCategory) told.levels.clear();  // the table may have others
      options.overrides->columns.push_back(told);
    }
    if (options.overrides->columns.empty()) throw InputError(source.name() + ": has none of the model's columns");
    source.rewind();
    own_schema_ = profile_table(source, options).schema;
    for (ColumnSchema& column : own_schema_.columns)
      column = schema_as_is(density_->schema().columns[density_->schema().find(column.name)], column);
    own_ = read_table(source, own_schema_);
  }

  // The table's columns in their order.
  void take_own_columns() {
    for (size_t place = 0; place < own_schema_.columns.size(); ++place)
      add_given(density_->schema().find(own_schema_.columns[place].name), place);
  }

  // The model's columns, those that the table lacks as `others` has them.
  void take_all_columns(const OutputSchema& others) {
    for (size_t c = 0; c < given_.knowledge.size(); ++c) {
      if (given_.knowledge[c] == Knowledge::kGiven) {
        add_given(c, own_schema_.find(density_->schema().columns[c].name));
      } else {
        schema_.columns.push_back(others.columns[c]);
        columns_.push_back({c, false, 0, {}});
      }
    }
  }

  // After the columns are taken. `source` is what was read. A row that breaks a constraint by its own cells is left as
  // it is, or refused.
  void hold(const Constraints& constraints, bool refuses, TableSource& source) {
    if (how_ == Completion::kDraw)
      checker_ = std::make_unique<ConstraintChecker>(constraints, density_->schema(), table_schema_of(schema_));
    breaks_.assign(static_cast<size_t>(own_.rows + 63) / 64, 0);
    for (const Constraint& constraint : constraints) {
      const ConstraintChecker of_given({constraint}, density_->schema(), own_schema_);
      std::vector<uint64_t> broken(breaks_.size());
      of_given.find_broken(cells_of(own_schema_, own_), own_.rows, broken);
      for (size_t word = 0; word < broken.size(); ++word) {
        if (broken[word] != 0 && refuses)
          refuse(static_cast<int64_t>(word) * 64 + std::countr_zero(broken[word]), constraint, source);
        breaks_[word] |= broken[word];
      }
    }
  }

  Completed describe(std::shared_ptr<const Generator> self) const {
    Completed completed{std::move(self), given_.table.rows, {}, {}};
    for (const CompletedColumn& column : columns_) {
      int64_t gaps = 0;
      for (int64_t row = 0; column.is_given && row < given_.table.rows; ++row) gaps += is_gap(column.column, row);
      const bool fills = fills_gaps_ && has_values(density_->schema().columns[column.column].kind);
      completed.filled.push_back(fills ? gaps : 0);
      completed.unfilled.push_back(fills ? 0 : gaps);
    }
    return completed;
  }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const CompletionGenerator& rows)
        : rows_(rows),
          worker_(rows.density_->make_worker()),
          knowledge_(rows.given_.knowledge.size()),
          values_(knowledge_.size()) {}

    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      for (size_t c = 0; c < batch.columns(); ++c)
        if (batch.buffer(c).validity != nullptr)
          std::memset(batch.buffer(c).validity, 0, static_cast<size_t>(rows + 7) / 8);
      cells_ = cells_of(rows_.schema_, batch);
      for (int64_t row = 0; row < rows; ++row) fill_row(first_row + static_cast<uint64_t>(row), row, batch);
      batch.seed = rows_.seed_;
      batch.first_row = first_row;
      batch.rows = rows;
    }

   private:
    void fill_row(uint64_t global, int64_t row, Batch& batch) {
      const GivenTable& given = rows_.given_;
      const auto from = static_cast<int64_t>(global % static_cast<uint64_t>(given.table.rows));
      bool is_whole = true;
      for (size_t c = 0; c < knowledge_.size(); ++c) {
        knowledge_[c] = given.knowledge[c];
        if (knowledge_[c] == Knowledge::kGiven && rows_.fills(c) && rows_.is_gap(c, from))
          knowledge_[c] = Knowledge::kPresent;
        is_whole = is_whole && (knowledge_[c] == Knowledge::kGiven ||
                                (rows_.fills_gaps_ && given.knowledge[c] == Knowledge::kNone));
      }
      if (is_whole) return put_row(from, row, batch);
      for (uint64_t draw = 0; draw < kMostDraws; ++draw) {
        const uint64_t number = draw == 0 ? global : candidate_row(draw - 1, global);
        worker_->complete(given.table, from, knowledge_, rows_.how_, rows_.seed_, number, values_);
        put_row(from, row, batch);
        if (rows_.checker_ == nullptr || rows_.breaks(from) || !rows_.checker_->breaks(cells_, row)) return;
      }
      throw InputError(rows_.name_ + ": row " + std::to_string(from + 1) + " (the first is row 1): none of " +
                       std::to_string(kMostDraws) +
                       " draws for it holds the model's constraints: leave it out, or change what it gives");
    }

    void put_row(int64_t from, int64_t row, Batch& batch) const {
      for (size_t i = 0; i < rows_.columns_.size(); ++i) {
        const CompletedColumn& column = rows_.columns_[i];
        put_value(rows_.schema_.columns[i], batch.buffer(i), row, value_for(column, from));
      }
    }

    SampledValue value_for(const CompletedColumn& column, int64_t from) const {
      const size_t c = column.column;
      const ColumnSchema& schema = rows_.density_->schema().columns[c];
      if (!column.is_given) {
        SampledValue value = values_[c];
        value.is_missing = value.is_missing || schema.kind == ColumnKind::kEmpty;
        return value;
      }
      if (knowledge_[c] != Knowledge::kGiven) return column.converter(values_[c]);
      const SampledValue own =
          value_of(rows_.own_schema_.columns[column.place], rows_.own_.columns[column.place], from);
      if (!own.is_missing || rows_.is_gap(c, from) || !has_values(schema.kind)) return own;
      return column.converter(value_of(schema, rows_.given_.table.columns[c], from));  // a marker that is a level
    }

    const CompletionGenerator& rows_;
    std::unique_ptr<DensityWorker> worker_;
    std::vector<Knowledge> knowledge_;
    std::vector<SampledValue> values_;
    std::vector<ColumnCells> cells_;  // of the batch
  };

  [[noreturn]] void refuse(int64_t row, const Constraint& constraint, TableSource& source) const {
    const TableSchema& known = density_->schema();
    throw InputError(source.locate(row, own_schema_.find(known.columns[constraint.columns[0]].name)) + ": row " +
                     std::to_string(row + 1) + " breaks the model's constraint \"" + to_text(constraint, known) +
                     "\": correct it, or leave one of the columns out to have it drawn");
  }
  bool breaks(int64_t row) const { return (breaks_[static_cast<size_t>(row / 64)] >> row % 64 & 1) != 0; }

  void add_given(size_t column, size_t place) {
    const ColumnSchema& own = own_schema_.columns[place];
    OutputColumn& output = schema_.columns.emplace_back();
    output.schema = own;
    output.storage = storage_as_is(own);
    if (own.kind == ColumnKind::kKey || own.kind == ColumnKind::kText)
      output.texts = std::make_shared<TableTexts>(std::move(own_.columns[place].texts));
    columns_.push_back({column, true, place, ValueConverter(density_->schema().columns[column], own)});
  }

  bool fills(size_t column) const { return fills_gaps_ && has_values(density_->schema().columns[column].kind); }
  bool is_gap(size_t column, int64_t row) const {
    return density_->schema().columns[column].kind == ColumnKind::kEmpty ||
           given_.table.columns[column].is_missing(row);
  }

  std::shared_ptr<const Density> density_;
  Completion how_;
  bool fills_gaps_;
  uint64_t seed_;
  GivenTable given_;        // as the model reads it
  TableSchema own_schema_;  // as it is
  Table own_;
  std::string name_;                            // of the table, for messages
  std::unique_ptr<ConstraintChecker> checker_;  // of rows written; null: they may be anything
  std::vector<uint64_t> breaks_;                // bits of the table's rows that break a constraint by their own cells
  OutputSchema schema_;
  std::vector<CompletedColumn> columns_;
};

}  // namespace

Completed fill_gaps(std::shared_ptr<const Density> density, TableSource& source, Completion how, uint64_t seed,
                    const Constraints& constraints) {
  const auto generator = std::make_shared<CompletionGenerator>(std::move(density), how, true, seed);
  generator->read(source);
  generator->take_own_columns();
  generator->hold(constraints, false, source);
  return generator->describe(generator);
}

Completed complete_columns(std::shared_ptr<const Density> density, TableSource& source,
                           std::shared_ptr<const Generator> unconditional, const Constraints& constraints) {
  const auto generator =
      std::make_shared<CompletionGenerator>(std::move(density), Completion::kDraw, false, unconditional->seed());
  generator->read(source);
  generator->take_all_columns(unconditional->schema());
  generator->hold(constraints, true, source);
  return generator->describe(generator);
}

}  // namespace doppel
